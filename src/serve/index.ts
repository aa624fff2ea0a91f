export { createServer, type Server, type ServerOptions } from "./server.js";
export {
  type LifecycleKind,
  type Owner,
  ownerOf,
  type SessionObserver,
  SessionStore,
  type SessionStoreOptions,
  type StepOutcome,
} from "./session.js";
