/** What functions in containers reach: the policies of `aloft.json` against addresses that all answer. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { after, before, suite, test } from "node:test";
import { hostAddress, isInWorld, outside, runInWorld, worldMissing } from "../kit/network-world.ts";
import { lastFirst } from "../kit/scope.ts";
import { startTestServer, temporaryFolder, type TestServer } from "../kit/server.ts";
import { serve, served } from "../kit/aloft-process.ts";
import { until } from "../kit/until.ts";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";

const missing = worldMissing() ?? (await ociMissing());
if (missing !== null) console.log(`skipped: ${missing}`);
else if (isInWorld) tests();
else await runInWorld(import.meta.filename);

/** `URL`, `tcp ADDRESS PORT` or `name NAME`; what becomes of each. */
type Attempt = string;

const reaching = `
  import { connect } from "node:net";
  import { lookup } from "node:dns/promises";
  import { networkInterfaces } from "node:os";
  async function attempt(what) {
    const [kind, host, port] = what.split(" ");
    try {
      if (kind === "name") return (await lookup(host, { all: true })).map((each) => each.address).join(" ");
      if (kind === "tcp") return await new Promise((resolve, reject) => {
        const socket = connect({ host, port: Number(port), timeout: 5000 });
        socket.once("connect", () => { socket.destroy(); resolve("connected"); });
        socket.once("timeout", () => { socket.destroy(); resolve("silence"); });
        socket.once("error", reject);
      });
      return JSON.stringify(await (await fetch(what)).json());
    } catch (error) { return error.cause?.code ?? error.code ?? String(error); }
  }
  export default { async fetch(request) {
    const attempts = await request.json();
    return Response.json({ own: networkInterfaces().eth0?.[0].address, heard: await Promise.all(attempts.map(attempt)) });
  } };`;

function tests(): void {
  suite("functions in containers and the network", () => {
    const hooks = lastFirst({ after });
    let server: TestServer;

    before(async () => {
      server = await startTestServer(hooks, { mode: "serve", settings });
      const policies: Record<string, unknown> = {
        everything: undefined,
        nothing: "none",
        listed: ["web.example.test:80", "*.api.example.test", "private.example.test", "both.example.test"],
        intranet: ["10.20.0.0/16:80", "192.168.9.9"],
      };
      for (const [app, network] of Object.entries(policies)) {
        await server.deployFiles(app, { "index.js": reaching, "aloft.json": JSON.stringify({ network }) });
      }
    });

    async function ask(app: string, attempts: readonly Attempt[]): Promise<{ own: string; heard: string[] }> {
      const response = await server.fetch(app, "/", { method: "POST", body: JSON.stringify(attempts) });
      assert.equal(response.status, 200);
      return (await response.json()) as { own: string; heard: string[] };
    }

    const atWeb = JSON.stringify({ at: `::ffff:${outside.web}`, from: `::ffff:${hostAddress}` });
    const atApi = JSON.stringify({ at: `::ffff:${outside.api}`, from: `::ffff:${hostAddress}` });

    test("without a policy a function reaches public addresses, by name and by number, as the host", async () => {
      const { heard } = await ask("everything", [
        "http://web.example.test/",
        `http://${outside.api}:81/`,
        "name api.example.test",
        "name nowhere.example.test",
        "name many.example.test",
      ]);
      const many = Array.from({ length: 60 }, () => outside.web).join(" ");
      assert.deepEqual(heard, [atWeb, atApi, outside.api, "ENOTFOUND", many]);
    });

    test("nobody reaches private ranges, metadata services, other IPv6 addresses or the host itself unasked", async (t) => {
      const ports = [server.http, server.admin].map((url) => new URL(url).port);
      const other = createServer().listen(0, "0.0.0.0");
      await once(other, "listening");
      t.after(() => other.close());
      const host = [hostAddress, gatewayOf((await ask("everything", [])).own)];
      const attempts = [
        ...[...outside.private, ...outside.forbidden].map((address) => `tcp ${address} 80`),
        ...outside.ipv6.map((address) => `tcp ${address} 80`),
        ...host.flatMap((address) => ports.map((port) => `tcp ${address} ${port}`)),
        ...ports.map((port) => `tcp 127.0.0.1 ${port}`),
        ...host.map((address) => `tcp ${address} ${(other.address() as { port: number }).port}`),
        "http://metadata.example.test/",
        "http://private.example.test/",
      ];
      for (const app of ["everything", "listed", "nothing"]) {
        const { heard } = await ask(app, attempts);
        heard.forEach((how, n) => {
          assert.match(how, /^(?:ECONNREFUSED|ENETUNREACH|EADDRNOTAVAIL|ENOTFOUND)$/, `${app}: ${attempts[n]}`);
        });
      }
    });

    test("with the policy none a function reaches nothing and learns no name", async () => {
      const { heard } = await ask("nothing", [`tcp ${outside.web} 80`, `tcp ${outside.resolver} 53`]);
      assert.deepEqual(heard, ["ECONNREFUSED", "ECONNREFUSED"]);
      assert.deepEqual((await ask("nothing", ["name web.example.test"])).heard, ["ENOTFOUND"]);
    });

    test("with a list a function reaches the hosts on it, at their ports, and no others", async () => {
      // Before its name was asked for nobody knows that the address is meant.
      const { heard: unknown } = await ask("listed", [`tcp ${outside.api} 80`]);
      assert.deepEqual(unknown, ["ECONNREFUSED"]);
      const { heard } = await ask("listed", [
        "http://web.example.test/",
        "http://web.example.test:81/",
        "http://v1.api.example.test/",
        "http://v1.api.example.test:81/",
        "http://api.example.test/",
        "name nowhere.example.test",
        `tcp ${outside.resolver} 53`,
        "name private.example.test",
        `tcp ${outside.private[0]} 80`,
      ]);
      const refused = "ECONNREFUSED";
      assert.deepEqual(heard.slice(0, 4), [atWeb, refused, atApi, atApi]);
      assert.deepEqual(heard.slice(4, 7), ["ENOTFOUND", "ENOTFOUND", refused]);
      // The name may be asked for, and does not open an address of somebody's own network.
      assert.deepEqual(heard.slice(7), [outside.private[0], refused]);
    });

    test("a name that is refused is told in the app's log, once", async () => {
      const refusedOf = async (app: string): Promise<string[]> =>
        (await server.client.listLogs(app, {}))
          .map(({ message }) => message)
          .filter((message) => /^the name .* was refused/.test(message))
          .toSorted();
      for (let again = 0; again < 2; again += 1) {
        await ask("listed", ["name one.example.com", "name two.example.com", "name web.example.test"]);
        await ask("nothing", ["name one.example.com"]);
      }
      const of = (name: string, why: string): string =>
        `the name "${name}" was refused: "network" in aloft.json is ${why} (docs/sandbox.md)`;
      const noneOfThem = "a list of hosts, and this is none of them";
      const toldOf = async (app: string): Promise<string[]> =>
        (await refusedOf(app)).filter((line) => line.includes("example.com"));
      await until("both lines", async () => (await toldOf("listed")).length >= 2);
      await until("the other app's", async () => (await toldOf("nothing")).length > 0);
      const told = await toldOf("listed");
      assert.deepEqual(told, [of("one.example.com", noneOfThem), of("two.example.com", noneOfThem)]);
      assert.deepEqual(await toldOf("nothing"), [of("one.example.com", '"none"')]);
      assert.deepEqual(await refusedOf("everything"), []);
    });

    test("private addresses that are listed are reached, at their ports, and nothing else is", async () => {
      const own = `tcp ${outside.private[0]}`;
      const { heard } = await ask("intranet", [`${own} 80`, `${own} 81`, "tcp 192.168.9.9 81", "tcp 172.16.9.9 80"]);
      assert.deepEqual(heard, ["connected", "ECONNREFUSED", "connected", "ECONNREFUSED"]);
      assert.deepEqual((await ask("intranet", [`tcp ${outside.web} 80`])).heard, ["ECONNREFUSED"]);
    });

    test("instances do not reach each other, nor does the host reach into them", async () => {
      const listening = `import { createServer } from "node:net"; import { networkInterfaces } from "node:os";
        createServer().listen(5000, "0.0.0.0");
        export default { fetch: () => new Response(networkInterfaces().eth0[0].address) };`;
      await server.deployFiles("neighbour", {
        "index.js": listening,
        "aloft.json": JSON.stringify({ network: ["0.0.0.0/0"] }),
      });
      const address = await (await server.fetch("neighbour", "/")).text();
      await server.deployFiles("any", {
        "index.js": reaching,
        "aloft.json": JSON.stringify({ network: ["0.0.0.0/0"] }),
      });
      for (const app of ["everything", "any", "nothing"]) {
        assert.deepEqual((await ask(app, [`tcp ${address} 5000`])).heard, ["ECONNREFUSED"], app);
      }
      assert.deepEqual((await ask("any", [`tcp ${outside.private[1]} 80`, "tcp 169.254.169.254 80"])).heard, [
        "connected",
        "ECONNREFUSED",
      ]);
    });

    test("an instance cannot fill the host's table of connections", async () => {
      await server.deployFiles("scanner", {
        "index.js": `import { createSocket } from "node:dgram";
          export default { async fetch() {
            const socket = createSocket("udp4").on("error", () => {});
            for (let port = 1; port <= 12_000; port += 1) {
              await new Promise((resolve) => socket.send("x", port, "${outside.api}", resolve));
            }
            socket.close();
            return new Response("sent");
          } };`,
      });
      const count = (): number => Number(readFileSync("/proc/sys/net/netfilter/nf_conntrack_count", "utf8"));
      assert.equal(await (await server.fetch("scanner", "/")).text(), "sent");
      assert.ok(count() > 1000 && count() < 9000, `${count()}`);
      assert.deepEqual((await ask("everything", [`tcp ${outside.web} 80`])).heard, ["connected"]);
    });

    test("while code is imported to be described there is no network", async () => {
      await server.deployFiles("importing", {
        "index.js": `let heard = "silence";
          try { await fetch("http://${outside.web}/"); heard = "reached"; } catch (error) { heard = error.cause.code; }
          export const reached = (request) => new Response("");
          export default { fetch: () => new Response(heard) };
          if (heard === "reached" && process.env.PHASE === "aloft-placeholder") throw new Error("the network is there");`,
        "aloft.json": JSON.stringify({}),
      });
      assert.equal(await (await server.fetch("importing", "/")).text(), "reached");
    });
  });

  suite("a host whose network a server changes", () => {
    test("has everything back when its servers have stopped, the killed ones when the next one has", async (t) => {
      const untouched = stateOfHost();
      const folder = await temporaryFolder(t, {
        "app/index.js": `export default { fetch: async () => new Response(await (await fetch("http://${outside.web}/")).text()) };`,
      });
      const flags = ["--sandbox", "oci", "--sandbox-resolver", outside.resolver];
      const killed = await served(`${folder}/data`, ...flags);
      await killed.deploy(`${folder}/app`);
      assert.equal((await killed.fetch("app", "/")).status, 200);
      assert.notDeepEqual(stateOfHost(), untouched);
      // Another server beside it has addresses of its own, and what they share stays for the one that is left.
      const other = await served(`${folder}/other`, ...flags);
      await other.deploy(`${folder}/app`);
      await killed.kill("SIGKILL");
      assert.notDeepEqual(stateOfHost(), untouched);
      const next = await served(`${folder}/data`, ...flags);
      assert.equal((await next.fetch("app", "/")).status, 200);
      await next.kill("SIGKILL");
      assert.equal((await other.fetch("app", "/")).status, 200);
      await other.kill("SIGTERM");
      assert.notDeepEqual(stateOfHost(), untouched);
      // Whoever comes next takes away what is left of another data folder's.
      const last = await served(`${folder}/last`, ...flags);
      await last.kill("SIGTERM");
      assert.deepEqual(stateOfHost(), untouched);
    });

    test("is served without a wall, and told so, when auto finds no resolver; oci says what is missing", async (t) => {
      spawnSync("mount", ["--bind", "/dev/null", "/etc/resolv.conf"]);
      t.after(() => void spawnSync("umount", ["/etc/resolv.conf"]));
      const dataDir = await temporaryFolder(t);
      const refused = await serve(dataDir, "--sandbox", "oci");
      assert.ok("code" in refused);
      assert.match(refused.out + refused.err, /SANDBOX_UNAVAILABLE.*resolver/s);
      const fallen = await served(dataDir, "--sandbox", "auto");
      t.after(() => fallen.kill());
      let said = "";
      fallen.child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
      const status = await fallen.client.status();
      assert.equal(status.sandbox, "process");
    });
  });
}

const settings = {
  sandbox: "oci",
  sandboxResolver: { address: outside.resolver, port: 53 },
} as const;

function gatewayOf(address: string): string {
  const [a, b, c = "0"] = address.split(".");
  return `${a}.${b}.${Number(c) & 0xfc}.1`;
}

/** All that a server changes: interfaces, addresses, routes, namespaces, rules, forwarding. */
function stateOfHost(): readonly string[] {
  const said = (program: string, ...parameters: string[]): string =>
    spawnSync(program, parameters, { encoding: "utf8", env: { PATH: "/usr/sbin:/sbin:/usr/bin:/bin" } }).stdout;
  return [
    said("ip", "-o", "link").replaceAll(/ state .*$/gm, ""),
    said("ip", "-o", "-4", "addr"),
    said("ip", "route"),
    said("nft", "list", "ruleset"),
    readdirSync("/run/netns").join(" "),
    readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8"),
  ];
}
