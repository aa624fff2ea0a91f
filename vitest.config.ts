import { defineConfig } from "vitest/config";

const conditions = ["ostinato-source", "node", "import", "default"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: { include: ["src/**/*.test.ts", "test/**/*.test.ts", "bench/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 120_000 },
});
