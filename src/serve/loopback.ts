/** @file Which addresses are this machine itself. */
import { BlockList, isIP } from "node:net";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");
loopback.addSubnet("::ffff:127.0.0.0", 104, "ipv6");

/** Every request asks of the same few hosts, and the list costs microseconds. Bounded, for hosts are what a client sends. */
const known = new Map<string, boolean>();
const MOST_KNOWN = 256;

/** Whether nobody but this machine reaches the host: `localhost`, 127.0.0.0/8, ::1. Any other name or writing counts as public. */
export function isLoopback(host: string): boolean {
  let answer = known.get(host);
  if (answer === undefined) {
    answer = judge(host);
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(host, answer);
  }
  return answer;
}

function judge(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  if (bare.toLowerCase() === "localhost") return true;
  const family = isIP(bare);
  return family !== 0 && loopback.check(bare, family === 4 ? "ipv4" : "ipv6");
}
