/** @file The server that the faults are done to, in a process of its own: says where it listens on standard output, and ends at SIGTERM. */
import { createServer, type ServerOptions } from "../../src/serve/server.js";

const options = JSON.parse(process.argv[2]) as Partial<ServerOptions>;
try {
  const server = await createServer({
    models: new Map([["probe", "probe"]]),
    port: 0,
    grpcPort: 0,
    logger: false,
    drainMs: 500,
    ...options,
  });
  const { http, grpc } = await server.listen();
  process.stdout.write(`${JSON.stringify({ http: new URL(http).host, grpc: grpc?.replace(/^.*\/\//, "") })}\n`);
  process.on("SIGTERM", () => {
    server.close().then(
      () => process.exit(0),
      (error) => {
        process.stderr.write(`${error}\n`);
        process.exit(1);
      },
    );
  });
} catch (error) {
  process.stderr.write(`${error}\n`);
  process.exit(1);
}
