/** What code that means harm tries over the network. In a world of their own (`network-world.ts`), where all of it answers. */
import type { Probe, Target } from "./probes.ts";

/** The text of each is deployed alone, so each holds all it needs. */
export const networkProbes: readonly Probe[] = [
  {
    name: "metadata",
    about: "ask the cloud's metadata service for the machine's keys",
    process: "reached",
    run: async (at) => await (await fetch(`http://${at.metadataAddress}/latest/meta-data/`)).text(),
  },
  {
    name: "metadata-ipv6",
    about: "ask it over IPv6",
    process: "reached",
    run: async (at) => await (await fetch(`http://[${at.metadataIpv6}]/`)).text(),
  },
  {
    name: "private-range",
    about: "reach a machine of the operator's own network",
    process: "reached",
    run: async (at) => await (await fetch(`http://${at.privateAddress}/`)).text(),
  },
  {
    name: "private-by-name",
    about: "reach it by a public name that leads there",
    process: "reached",
    run: async () => await (await fetch("http://private.example.test/")).text(),
  },
  {
    name: "host-port",
    about: "reach a port of the host on its outer address",
    process: "reached",
    run: (at) =>
      new Promise((resolve, reject) => {
        const socket = process.getBuiltinModule("node:net").connect(at.hostPort, at.hostAddress);
        socket.once("connect", () => resolve("connected")).once("error", reject);
      }),
  },
  {
    name: "router",
    about: "reach a port of the host by the address of its router",
    process: "refused",
    run: (at) =>
      new Promise((resolve, reject) => {
        const [, router = ""] = /^nameserver (\S+)/m.exec(
          process.getBuiltinModule("node:fs").readFileSync("/etc/resolv.conf", "utf8"),
        ) ?? [""];
        if (!router.startsWith("198.18.")) throw new Error("it has no router of its own");
        const socket = process.getBuiltinModule("node:net").connect(at.hostPort, router);
        socket.once("connect", () => resolve("connected")).once("error", reject);
      }),
  },
  {
    name: "neighbour-port",
    about: "reach a port of another instance",
    process: "reached",
    run: (at) =>
      new Promise((resolve, reject) => {
        const socket = process.getBuiltinModule("node:net").connect(at.neighbourPort, at.neighbourAddress);
        socket.once("connect", () => resolve("connected")).once("error", reject);
      }),
  },
];

/** What of `Target` these need. */
export type NetworkTarget = Pick<
  Target,
  | "metadataAddress"
  | "metadataIpv6"
  | "privateAddress"
  | "hostAddress"
  | "hostPort"
  | "neighbourAddress"
  | "neighbourPort"
>;
