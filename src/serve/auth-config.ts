/**
 * @file The file that says who may come in, for `ostinato serve --auth FILE`, in YAML or JSON.
 *
 *     keys: keys.yaml
 *     jwt: { issuer: https://id.example.org, audience: ostinato, jwks: https://id.example.org/keys, jwksHosts: [id.example.org] }
 *     certificates:
 *       URI:spiffe://example.org/meter: { tenant: plant-7, scopes: [step] }
 *
 * Paths are relative to the file.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { OstinatoError } from "../core/errors.js";
import type { AuthConfig } from "./auth.js";
import { isTenant } from "./credential.js";
import { TOKEN_ALGORITHMS } from "./credential-token.js";
import { SCOPES } from "./principal.js";

const text = z.string().min(1);
const grant = z.strictObject({
  tenant: z.string().refine(isTenant, "1 to 128 of A-Z a-z 0-9 . _ -, other than 64 hexadecimal digits"),
  scopes: z.array(z.enum(SCOPES)).min(1),
});
const schema = z.strictObject({
  open: z.union([z.boolean(), z.literal("anywhere")]).optional(),
  keys: text.optional(),
  jwt: z
    .strictObject({
      issuer: text,
      audience: text,
      jwks: text,
      jwksHosts: z.array(text).optional(),
      jwksLoopbackHttp: z.boolean().optional(),
      algorithms: z.array(z.enum(TOKEN_ALGORITHMS)).min(1).optional(),
      leewaySeconds: z.number().min(0).max(120).optional(),
      tenantClaim: text.optional(),
      scopeClaim: text.optional(),
    })
    .optional(),
  certificates: z.record(text, grant).optional(),
});

/** @throws OST_FILE if it cannot be read. @throws OST_CONFIG naming the key that does not fit. */
export function readAuthConfig(path: string): AuthConfig {
  let value: unknown;
  try {
    value = parse(readFileSync(path, "utf8"), { maxAliasCount: 0, logLevel: "error" }) ?? {};
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if ((cause as NodeJS.ErrnoException).syscall === undefined)
      throw new OstinatoError("OST_CONFIG", { what: "the file is neither YAML nor JSON", where: path }, { cause });
    const what = code === "ENOENT" ? "there is no such file" : `it cannot be read (${code})`;
    throw new OstinatoError("OST_FILE", { what, where: path, repair: "check the path" }, { cause });
  }
  const result = schema.safeParse(value);
  if (!result.success) {
    const [{ path: keys, message }] = result.error.issues;
    throw new OstinatoError("OST_CONFIG", {
      what: "the file does not hold what it should",
      expected: message,
      where: [path, keys.join(".")].filter(Boolean).join(" "),
    });
  }
  const { keys, jwt, ...rest } = result.data;
  const beside = (file: string) => resolve(dirname(path), file);
  return {
    ...rest,
    ...(keys === undefined ? {} : { keys: beside(keys) }),
    ...(jwt === undefined ? {} : { jwt: { ...jwt, jwks: /^[a-z][a-z0-9+.-]+:/i.test(jwt.jwks) ? jwt.jwks : beside(jwt.jwks) } }),
  };
}
