export { type Owner, ownerOf } from "./owner.js";
export { createServer, type Server, type ServerOptions } from "./server.js";
export {
  type LifecycleKind,
  type SessionObserver,
  SessionStore,
  type SessionStoreOptions,
  type StepOutcome,
} from "./session.js";
