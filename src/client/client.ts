/** @file The client of a session server: sessions over one connection that mends itself. */
import type { BackoffOptions } from "./backoff.js";
import { Connection, type ConnectionState } from "./connection.js";
import { randomId } from "./random-id.js";
import { RestClient } from "./rest.js";
import { type SessionOptions, StreamSession } from "./session.js";

export interface ConnectOptions {
  /** API key or token. */
  key?: string;
  backoff?: BackoffOptions;
  /** A socket on which answers are due and nothing comes for so long is given up. Default 30,000 ms. */
  silenceMs?: number;
  /** Without a server for so long everything waiting fails. Default 300,000 ms. */
  giveUpMs?: number;
  /** The first socket must be there within this. Default 15,000 ms. */
  firstMs?: number;
  onState?(state: ConnectionState): void;
}

export class Client {
  readonly #connection: Connection;
  /** The same server over HTTP: snapshots, lists, events. */
  readonly rest: RestClient;

  constructor(connection: Connection, rest: RestClient) {
    this.#connection = connection;
    this.rest = rest;
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** Creates a session or attaches to it. @throws RefusedError OST_MODEL, OST_SESSION, OST_EXISTS, OST_CAPACITY, OST_STATE_LOST. */
  session(model: string, options: SessionOptions = {}): Promise<StreamSession> {
    return StreamSession.open({ connection: this.#connection, rest: this.rest }, model, options);
  }

  /** Ends the connection. Sessions stay on the server; what waits here fails. */
  close(): void {
    this.#connection.close();
  }
}

/**
 * Connects to a server.
 *
 * @param url of the server, as `http://127.0.0.1:8080` or `wss://host/v1/stream`
 * @throws RefusedError OST_CREDENTIAL, OST_SCOPE; OST_DEADLINE where no server answers
 */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<Client> {
  const { key, ...rest } = options;
  const address = new URL(url);
  const secure = address.protocol === "wss:" || address.protocol === "https:";
  const base = new URL(address);
  base.protocol = secure ? "https:" : "http:";
  base.pathname = address.pathname.replace(/\/v1\/stream\/?$/, "");
  base.search = "";
  address.protocol = secure ? "wss:" : "ws:";
  address.pathname = `${base.pathname.replace(/\/$/, "")}/v1/stream`;
  // A later socket of this client ends an earlier one, which the server may still hold for alive.
  address.searchParams.set("client", randomId());
  const connection = new Connection({ url: address.href, token: key ?? null, ...rest });
  await connection.ready;
  return new Client(connection, new RestClient(base, { key }));
}
