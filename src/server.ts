/**
 * The composition root: opens the parts in order, wires them to each other, and closes them in reverse. Nothing is decided
 * here but who talks to whom.
 */
import type { Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createApi } from "./api/api.ts";
import { openTokens } from "./api/tokens.ts";
import { type Apps, openApps } from "./apps/apps.ts";
import { openDataFolder, openNewDataFolder } from "./apps/data-folder.ts";
import { asDiskError } from "./apps/disk-errors.ts";
import { takeOverJournal } from "./apps/meta/journal-takeover.ts";
import { openKeyspaceMetaStore } from "./apps/meta/keyspace-meta-store.ts";
import type { MetaStore } from "./apps/meta/meta-store.ts";
import { createBackups } from "./backup/backup.ts";
import { type ArchiveFacts, unpackArchive } from "./backup/restore.ts";
import { bundleGuests } from "./build/guest.ts";
import { readSearchPath, type Settings } from "./config.ts";
import type { StatusJson } from "./contract/api.ts";
import type { LiveDeployment } from "./contract/deployment.ts";
import { AloftError, asAloftError } from "./contract/errors.ts";
import type { Exchange } from "./contract/exchange.ts";
import type { InvocationRecord, LogLine } from "./contract/observing.ts";
import type { Keyspace } from "./contract/keyspace.ts";
import type { LiveSource, Running } from "./contract/running.ts";
import { Dispatcher } from "./dispatch/dispatcher.ts";
import { type AppRouter, createRouter } from "./dispatch/router.ts";
import { createHttpDoor } from "./doors/http/http-door.ts";
import { systemClock } from "./lib/clock.ts";
import { createIds } from "./lib/ids.ts";
import { packageVersion } from "./lib/package-version.ts";
import { systemSchedule } from "./lib/schedule.ts";
import { Metrics } from "./observe/metrics.ts";
import { openObserver } from "./observe/observer.ts";
import type { InstanceLog } from "./pool/instance-logs.ts";
import { Pool } from "./pool/pool.ts";
import { pythonFinder } from "./pool/python-program.ts";
import { openSandbox } from "./sandbox/open-sandbox.ts";
import { keyspaceMetrics } from "./store/sqlite/keyspace-metrics.ts";
import { beginIncarnation } from "./store/sqlite/incarnation.ts";
import { openState } from "./state/open-state.ts";
import { type ConsumedQueue, createQueueOperations } from "./state/queue/queue-operations.ts";
import { createAsyncCalls } from "./state/async/async-calls.ts";
import { createAlarms } from "./shards/alarms.ts";
import { Shards } from "./shards/shards.ts";
import { createAsyncTrigger } from "./triggers/async/async-keeper.ts";
import { createBlobTrigger } from "./triggers/blob/blob-trigger.ts";
import { createEngine } from "./triggers/engine.ts";
import { createQueueTrigger } from "./triggers/queue/queue-keeper.ts";
import { openSqliteKeyspace } from "./store/sqlite/sqlite-keyspace.ts";
import { openTriggers } from "./triggers/open-triggers.ts";

export interface ServerOptions {
  readonly mode: "serve" | "dev";
  readonly onRequest?: (record: InvocationRecord) => void;
  readonly onLog?: (line: LogLine) => void;
  readonly onWarning?: (message: string) => void;
}

export interface RunningServer {
  /** Base addresses, e.g. "http://127.0.0.1:8787". */
  readonly http: string;
  readonly admin: string;
  /** The control API's token when it was made just now; it cannot be asked for again. */
  readonly madeToken: string | null;
  /** The zygotes wait ready. Requests are served before that, more slowly. */
  warmed(): Promise<void>;
  close(): Promise<void>;
}

/** How long requests in flight have to finish when the server stops. */
const drainMs = 10_000;
/** Files are collected after each deploy; this is for what was still running then, and for deploys nobody finished. */
const collectMs = 10 * 60_000;

/** Throws PORT_IN_USE, the DATA_* codes, SANDBOX_UNAVAILABLE and SETTING_INVALID; nothing is left open then. */
export async function startServer(settings: Settings, options: ServerOptions): Promise<RunningServer> {
  const closers: (() => Promise<void> | void)[] = [];
  let closing: Promise<void> | null = null;

  async function closeAll(): Promise<void> {
    for (const close of closers.splice(0).toReversed()) await close();
  }

  async function close(): Promise<void> {
    closing ??= closeAll();
    await closing;
  }

  try {
    return await open(settings, options, closers, close);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function open(
  settings: Settings,
  options: ServerOptions,
  closers: (() => Promise<void> | void)[],
  close: () => Promise<void>,
): Promise<RunningServer> {
  const clock = systemClock;
  const startedAt = new Date();
  const warn = options.onWarning ?? ((message) => process.stderr.write(`aloft: ${message}\n`));
  const onBug = (error: unknown): void =>
    warn(`a bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);

  const folder = await openDataFolder(settings.dataDir);
  closers.push(() => folder.close());
  const keyspace = await openSqliteKeyspace({
    file: folder.keyspaceFile,
    clock,
    onWarning: warn,
    // A developer's own machine is spared it: there is nothing in a full disk that must go on.
    ...(options.mode === "dev" ? { reserveBytes: 0 } : {}),
  });
  closers.push(() => keyspace.close());
  const state = await openState({
    keyspace,
    blobs: folder.blobs,
    uploads: join(folder.run, "uploads"),
    originOf: (app, alias, askedAt) => (isNamedBy(router, app, alias, askedAt) ? askedAt : opened.urlOf(app, alias)),
    onError: onBug,
  });
  closers.push(() => state.close());
  // Ten thousand apps are read while the parts below wait for others.
  const loading = openMeta(keyspace, folder.journalFile);
  loading.catch(() => {}); // said where it is awaited
  const metrics = new Metrics();
  const observer = await openObserver({
    folder: folder.observe,
    clock,
    metrics,
    retention: { records: { ageMs: settings.recordRetentionMs }, logs: { ageMs: settings.logRetentionMs } },
    onWarning: warn,
  });
  closers.push(() => observer.close());
  if (options.onRequest !== undefined) observer.followRecords({}, options.onRequest);
  if (options.onLog !== undefined) observer.followLogs({}, options.onLog);

  const sandbox = await openSandbox({
    wanted: settings.sandbox === "auto" && options.mode === "dev" ? "process" : settings.sandbox,
    network: settings.sandboxNetwork,
    subnet: settings.sandboxSubnet,
    resolver: settings.sandboxResolver,
    ids: settings.sandboxIds,
    folder: folder.run,
    clock,
    onWarning: warn,
  });
  closers.push(() => sandbox.close());
  const ids = createIds(clock.nowMs());
  const newInvocationId = (): string => ids.invocationId(clock.nowMs());
  const guests = await bundleGuests(join(folder.run, "guest"));
  const pythons = settings.python === null ? readSearchPath().map((one) => join(one, "python3")) : [settings.python];
  const pool = new Pool({
    sandbox,
    program: {
      node: process.execPath,
      entry: guests.node,
      companion: guests.companion,
      python: pythonFinder(guests.python, pythons),
    },
    clock,
    newId: newInvocationId,
    zygotes: settings.zygotes,
    zygotesMax: settings.zygotesMax,
    waitForInstanceMs: settings.waitForInstanceMs,
    memoryBudgetBytes: settings.memoryBudgetBytes,
    onLog: (live, log) => observer.log(logLineOf(live, log)),
    onCall: async (live, exchange, call) =>
      call.op === "invoke"
        ? await dispatcher.callNested({
            live,
            function: call.function,
            payload: call.payload,
            traceparent: traceOf(exchange),
          })
        : await state.answer(live, call, { held: exchange?.held ?? null, origin: originOf(exchange) }),
    onWarning: warn,
  });
  closers.push(() => pool.close(drainMs));

  // `apps` asks the running side, which routes by what `apps` says: the knot is tied here.
  let httpBase = "";
  let apps: Apps | null = null;
  const source = lateSource(() => apps);
  const router = createRouter(source, { baseDomain: settings.baseDomain, loopbackOnly: options.mode === "dev" });
  const dispatcher = new Dispatcher({
    router,
    groups: pool,
    observer,
    clock,
    newInvocationId,
    readState: (live, read) => state.read(live, read),
    listsRoutes: options.mode === "dev",
  });
  const safetyScanMs = null; // of a store in this process no wake-up gets lost
  const engine = createEngine({
    keyspace,
    environments: state.environments,
    source: { findLive: (app, alias) => apps?.findLive(app, alias) ?? null, listLive: () => apps?.listLive() ?? [] },
    schedule: systemSchedule,
    safetyScanMs,
    onError: onBug,
  });
  const running: Running = {
    assertRunnable: (runtime) => pool.assertRunnable(runtime),
    describe: (request) => pool.describe(request),
    prepare: (live) => pool.prepare(live),
    abandon: (live) => pool.retire(live),
    publish(app, alias, live) {
      router.publish(app, alias, live);
      pool.retireAllBut(app, alias, live?.revision ?? null);
      if (live !== null) pool.keepMinimum(live);
      engine.publish(app, alias, live);
    },
    runningRevisions: () => pool.runningRevisions(),
  };
  const meta = await loading;
  closers.push(() => meta.close());
  const opened = await openApps({
    meta,
    files: folder.files,
    deployments: folder.deployments,
    images: folder.images,
    running,
    runtimeVersion: `node ${process.versions.node.split(".")[0]}`,
    address: () => ({ httpBase, baseDomain: settings.baseDomain }),
    retireState: (app) => state.retire(app),
    onError: onBug,
    clock,
  });
  apps = opened;
  // A crash may have come between an app's end and that of its state.
  await state.environments.retireAllBut((app) => opened.hasApp(app));
  closers.push(() => opened.close());
  const collecting = setInterval(() => void opened.collect().catch(onBug), collectMs).unref();
  closers.push(() => clearInterval(collecting));
  if (settings.defaultApp !== null) await opened.setDefaultApp(settings.defaultApp);

  const backups = createBackups({
    async copyKeyspace(file) {
      await keyspace.commit({ checks: [], writes: [] }); // resolves after all that were handed over before
      await keyspace.backup(file);
    },
    contents: [opened.contents(), state.contents()],
    folder: join(folder.run, "backup"),
    version: packageVersion(),
    now: () => new Date(clock.nowMs()),
    onError: (error) => warn(`a backup could not be finished: ${asAloftError(error).message}`),
  });
  const alarms = createAlarms(keyspace.clock, systemSchedule);
  closers.push(() => alarms.close());
  const consuming = {
    keyspace,
    state: state.service,
    delivering: dispatcher,
    clock,
    schedule: systemSchedule,
    alarms,
    lines: state.lines,
    random: () => Math.random(),
    safetyScanMs,
    onError: onBug,
  };
  engine.register(createQueueTrigger(consuming, engine.find));
  engine.register(createAsyncTrigger(consuming, (app, alias) => opened.findLive(app, alias)));
  engine.register(createBlobTrigger(consuming, engine.find));
  const triggers = openTriggers({
    engine,
    keyspace,
    environments: state.environments,
    state: state.service,
    delivering: dispatcher,
    clock,
    schedule: systemSchedule,
    lines: state.lines,
    safetyScanMs,
    onStream: (environment, stream) => state.retention.touch(environment, stream),
    onError: onBug,
  });
  const shards = new Shards({
    keyspace,
    clock,
    schedule: systemSchedule,
    nodeId: newInvocationId(),
    isAlone: true, // the data folder is locked, and its store with it
    factories: [engine.keepers],
    onError: onBug,
  });
  closers.push(() => engine.close());
  closers.push(() => shards.close());
  await engine.start();
  await shards.start();

  const door = createHttpDoor({
    dispatching: dispatcher,
    links: state.links,
    bodyBytesMax: settings.maxBodyBytes,
    trustsProxy: settings.trustProxy,
    showsDetail: options.mode === "dev",
    onBug,
  });
  httpBase = await listen(door.server, settings.host, settings.port);
  closers.push(() => door.close(drainMs));
  const tokens = await openTokens(meta, settings.adminToken ?? undefined);
  let adminBase = "";
  const queues = createQueueOperations({
    keyspace,
    environments: state.environments,
    state: state.service,
    consumed(app, alias) {
      opened.listFunctions(app, alias); // throws where there is none
      return queuesOf(opened.findLive(app, alias));
    },
    onError: onBug,
  });
  closers.push(() => queues.close());
  const api = createApi({
    apps: opened,
    state: state.managing,
    backups,
    caller: dispatcher,
    queues,
    triggers: triggers.admin,
    calls: createAsyncCalls({
      keyspace,
      service: state.service,
      environments: state.environments,
      schedule: systemSchedule,
    }),
    observer,
    tokens,
    metrics: () => metrics.text(observer.stats()) + keyspaceMetrics(keyspace.stats()),
    status: (): StatusJson => ({
      version: packageVersion(),
      node: process.version,
      architecture: process.arch,
      startedAt: startedAt.toISOString(),
      sandbox: sandbox.kind,
      http: httpBase,
      admin: adminBase,
      baseDomain: settings.baseDomain,
      defaultApp: opened.defaultApp(),
      apps: opened.appNames().length,
      ...pool.status(),
      rssBytes: process.memoryUsage.rss(),
      observe: observer.stats(),
    }),
    onError: onBug,
  });
  adminBase = await listen(api.server, settings.host, settings.adminPort);
  closers.push(() => api.close());
  for (const live of opened.liveThatKeeps()) pool.keepMinimum(live);
  return { http: httpBase, admin: adminBase, madeToken: tokens.printed ?? null, warmed: () => pool.warmed(), close };
}

async function openMeta(keyspace: Keyspace, journalFile: string): Promise<MetaStore> {
  const meta = await openKeyspaceMetaStore(keyspace);
  await takeOverJournal(journalFile, meta);
  return meta;
}

/**
 * Puts a backup into an empty folder, from which a server can be started then. Nothing else may run on the folder meanwhile. The
 * folder is left empty when it throws: ARCHIVE_DAMAGED, DATA_NOT_EMPTY, DATA_TOO_NEW, DATA_UNWRITABLE, DISK_FULL.
 */
export async function restoreDataFolder(archive: AsyncIterable<Uint8Array>, path: string): Promise<ArchiveFacts> {
  const folder = await openNewDataFolder(path);
  try {
    const facts = await unpackArchive(archive, folder.root);
    beginIncarnation(folder.keyspaceFile);
    await folder.finish();
    return facts;
  } catch (error) {
    await folder.abandon();
    throw asDiskError(error, folder.root);
  }
}

/** What routes asks before anything can be routed: nothing is there. */
function lateSource(apps: () => Apps | null): LiveSource {
  return {
    findLive: (app, alias) => apps()?.findLive(app, alias) ?? null,
    findDomain: (host) => apps()?.findDomain(host) ?? null,
    defaultApp: () => apps()?.defaultApp() ?? null,
    hasApp: (app) => apps()?.hasApp(app) ?? false,
    appNames: () => apps()?.appNames() ?? [],
  };
}

async function listen(server: HttpServer, host: string, port: number): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
    server.listen({ host, port, backlog: 4096 }, resolve);
  });
  const address = server.address() as AddressInfo;
  const shownHost = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `http://${shownHost}:${address.port}`;
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): AloftError {
  if (error.code === "EADDRINUSE") {
    return new AloftError("PORT_IN_USE", `port ${port} on ${host} is taken by another program`, {
      hint: "stop that program, or choose another port with --port and --admin-port",
    });
  }
  return new AloftError("SETTING_INVALID", `cannot listen on ${host}:${port}: ${error.message}`, { cause: error });
}

function logLineOf(live: LiveDeployment, log: InstanceLog): LogLine {
  const { exchange } = log;
  return {
    atMs: log.atMs,
    app: live.app,
    function: exchange === null ? "" : (live.manifest.functions[exchange.functionNumber]?.name ?? ""),
    deployment: live.deploymentId,
    invocation: exchange === null ? "" : exchange.invocationId,
    level: log.level,
    stream: log.stream,
    message: log.message,
  };
}

/** The queues that functions of it consume. */
function queuesOf(live: LiveDeployment | null): ConsumedQueue[] {
  return (live?.manifest.functions ?? []).flatMap(({ name: functionName, triggers }) =>
    triggers.flatMap((trigger) =>
      trigger.kind === "queue" ? [{ name: trigger.name, functionName, options: trigger.options }] : [],
    ),
  );
}

/** Where the client has sent the request: the fifth line of its text. */
function originOf(exchange: Exchange | null): string | null {
  return exchange === null ? null : (exchange.text.split("\n", 5)[4] ?? null);
}

/** Whether the app answers there to everyone, with no header that chooses it. */
function isNamedBy(router: AppRouter, app: string, alias: string, origin: string | null): origin is string {
  const url = origin === null ? null : URL.parse(origin);
  const route = url === null ? null : router.routeApp(url.host, null);
  return route?.kind === "app" && route.app === app && route.alias === alias;
}

/** The trace that an invocation belongs to: the second line of its text. */
function traceOf(exchange: Exchange | null): string | null {
  return exchange === null ? null : (exchange.text.split("\n", 2)[1] ?? null);
}
