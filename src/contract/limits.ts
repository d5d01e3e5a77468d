/**
 * Every bound of the platform, with its unit in the name and its reason. `docs/limits.md` lists the same values.
 * A setting may narrow or widen some of them; the defaults stand here.
 */

const KiB = 1024;
const MiB = 1024 * KiB;
const second = 1000;
const minute = 60 * second;

/** A value a developer may set in `aloft.json`, with the range that is accepted. */
export interface Range {
  readonly standard: number;
  readonly min: number;
  readonly max: number;
}

export const functionLimits = {
  memoryMiB: { standard: 256, min: 64, max: 16 * 1024 },
  /** http: from the request's head to the response's head, upload included. */
  timeoutMs: { standard: 30 * second, min: 100, max: 15 * minute },
  /** Handlers of events and of `fn`. */
  eventTimeoutMs: { standard: 60 * second, min: 100, max: 15 * minute },
  /** Requests at once in one instance; 1 for a Lambda handler. */
  concurrency: { standard: 64, min: 1, max: 1000 },
  minInstances: { standard: 0, min: 0, max: 1000 },
  maxInstances: { standard: 10, min: 1, max: 1000 },
  /** How long an idle instance is kept. */
  keepAliveMs: { standard: 60 * second, min: 0, max: 60 * minute },
} as const satisfies Record<string, Range>;

const day = 24 * 60 * minute;

/** What may be said of a queue. */
export const queueLimits = {
  batch: { standard: 1, min: 1, max: 1000 },
  batchWindowMs: { standard: 0, min: 0, max: 5 * minute },
  concurrency: { standard: 64, min: 1, max: 1000 },
  groupConcurrency: { standard: 1, min: 1, max: 1000 },
  rateMessages: { standard: 1, min: 1, max: 1_000_000 },
  ratePerMs: { standard: 1 * second, min: 1, max: 1 * day },
  maxAgeMs: { standard: 14 * day, min: 1 * second, max: 366 * day },
  attempts: { standard: 5, min: 1, max: 1000 },
  retryMinDelayMs: { standard: 1 * second, min: 0, max: 7 * day },
  retryMaxDelayMs: { standard: 5 * minute, min: 0, max: 366 * day },
  retryFactor: { standard: 2, min: 1, max: 10 },
  retryJitter: { standard: 0.2, min: 0, max: 1 },
} as const satisfies Record<string, Range>;

export const limits = {
  // --- names
  appNameChars: 63, // one DNS label
  functionNameChars: 64, // as AWS Lambda
  aliasNameChars: 30, // `ALIAS--APP` must fit one DNS label together with short app names
  // --- describing
  describeMs: 10 * second, // an import that takes longer is an endless loop or does the work of a request
  describeMemoryMiB: 256,
  describeBytes: 1 * MiB, // unknown input from the app's own code
  functionsPerApp: 1000,
  // --- deployments
  fileBytes: 256 * MiB, // one file of a deployment: hashed and held on the way
  deploymentBytes: 1024 * MiB,
  deploymentFiles: 50_000, // a large node_modules with native addons has a few thousand
  deploymentsKept: 10, // of an app, beside what an alias names and what runs
  configBytes: 256 * KiB, // aloft.json
  networkHosts: 100, // that an app lists: each is a rule every packet passes
  variables: 1000,
  variableBytes: 64 * KiB, // a certificate chain fits
  variablesBytes: 512 * KiB, // all variables of an app and alias together
  openDeployMs: 60 * minute, // a deploy that was begun and not finished is forgotten
  openDeploysPerApp: 16, // each holds its list of files in memory; the idlest gives way
  liveDeploymentsCached: 1000, // parsed manifests in memory; the others are read again when they are needed
  // --- images
  imageLayerBytes: 2048 * MiB, // one layer as it is sent; streamed, never held
  imageBytes: 4096 * MiB, // all layers as they are sent
  imageUnpackedBytes: 8192 * MiB, // a layer's archive, and all files of an image: what a bomb may cost
  imageEntries: 500_000, // files, folders and links of all layers; their names are in memory while they are unpacked
  imageLayers: 256, // docker itself makes at most 127
  imageDocumentBytes: 4 * MiB, // manifest, config and index, each; the config holds the history of the build
  imageOwners: 64, // users and groups of an image that instances tell apart, each with a number of the host; Debian has 45
  // --- the control API
  apiBodyBytes: 16 * MiB, // a JSON body of the control API: the list of 50,000 files fits
  // --- http door
  requestHeadBytes: 32 * KiB,
  requestBodyBytes: 100 * MiB,
  requestInlineBytes: 48 * KiB, // a body of known length up to this travels in the invoke frame itself
  headersMs: 10 * second, // from the first byte of a request to the end of its head
  keepAliveIdleMs: 65 * second, // longer than the usual 60 s of load balancers in front
  responseIdleMs: 60 * second, // after the head: no byte either way
  responseTotalMs: 15 * minute,
  transferMs: 6 * 60 * minute, // of one blob through a link or the control API: 10 GB at 0.5 MB/s
  refusedBodyMs: 2 * second, // and
  refusedBodyBytes: 4 * MiB, // of a body that nobody wants are let through, so that the client gets to read why
  waitForInstanceMs: 10 * second,
  waitersPerGroup: 10_000, // as Knative's activator queues for a revision
  hostsKept: 32_768, // host names whose app is known without looking, 200 bytes each; 10,000 apps fit twice over
  routeTablesKept: 4000, // route trees ready to match, 3 to 30 KB each; others are built again in 30 us
  sharedRoutesChars: 2000, // of an app's routes as text: up to here apps with the same text share a table
  routeParamChars: 1000, // of one path parameter: matching takes time by its length
  // --- wire
  frameBytes: 64 * KiB,
  streamWindowBytes: 256 * KiB, // body bytes in flight for one stream and direction before credit is needed
  callsOpenPerInstance: 256,
  callsWaitingPerInstance: 2000, // open ones that wait for somebody else, watches and turns at a hot key: they hold up no other call
  unsentBytesPerInstance: 1 * MiB,
  logLinesPerSecond: 1000, // of one instance; more are dropped and counted
  logLinesBurst: 5000,
  logLineBytes: 32 * KiB, // longer lines are cut
  outputBytesPerSecond: 5 * MiB, // of an instance's stdout or stderr; beyond it the program waits, not the node
  // --- instances
  pingSilenceMs: 200, // unanswered for this long: no new work
  blockedGraceMs: 1 * second, // unanswered for this long past an invocation's deadline: ended
  cancelGraceMs: 1 * second, // a cancelled handler that has not settled by then makes its instance drain
  crashDrainMs: 10 * second, // after an uncaught exception the instance finishes what it has
  drainMs: 15 * minute, // a retired instance finishes what it has
  stopGraceMs: 12 * second, // a program hears of its end and has 10 s; AWS and Kubernetes give 2 to 30
  startMs: 30 * second, // from hand-over to ready, the import of the code included
  crashBackoffMinMs: 1 * second,
  crashBackoffMaxMs: 30 * second,
  companionMiB: 64, // of what speaks for a program, beside the function's own memory: measured 40 to 55
  refusedNamesTold: 100, // by a group of instances, in the app's log: names that the network policy refuses
  processesPerInstance: 256, // threads included: Node has ten, and one for each worker
  openFilesPerInstance: 4096, // sockets included; four times what AWS Lambda gives
  payloadBytes: 6 * MiB, // input and output of `fn` and Lambda handlers, as AWS Lambda
  clientContextBytes: 3583, // of X-Amz-Client-Context, in base64, as AWS Lambda
  // --- events
  resourceNameChars: 128, // of a queue, a stream, a kv or blob store; stands in every key of it
  triggerOptionsBytes: 4 * KiB,
  outcomeBytes: 8 * MiB, // of an event's handler: 4 MiB of effects as JSON, and what it has read
  // --- state
  effects: 1000, // of one outcome or one commit of a handler
  effectsBytes: 4 * MiB, // keys and values that they write
  readSetEntries: 10_000, // that one outcome has read under check, those of lists included
  planTries: 20, // of a commit whose platform keys others keep changing in the meantime
  onceTries: 4, // of a commit that is safe to repeat and whose outcome is unknown
  kvPageEntries: 1000, // of one page of a list; its values have rangePageBytes at most
  blobBytes: 1024 * 1024 * MiB, // of one blob; the disk is full long before
  blobMetadataBytes: 4 * KiB,
  blobSessions: 1024, // transfers of one app at once: each holds a file open
  blobCollectMs: 10 * minute, // contents that nothing names any more are removed that often
  blobLinkMs: 60 * minute, // how long a signed link is good, where nobody says otherwise
  blobLinkMinMs: 1 * second,
  blobLinkMaxMs: 30 * 24 * 60 * minute, // a link cannot be taken back but by deleting what it leads to
  blobLinkBytes: 10 * 1024 * MiB, // that one link takes up, where nobody says otherwise
  blobLinkTransfers: 512, // through links of one app at once: each holds a file and a connection open
  blobFilenameChars: 255, // that a download is to be saved under
  blobIdleMs: 5 * minute, // a transfer with which nobody goes on is ended
  blobPendingMs: 60 * minute, // an upload waits for the commit that names it; no handler runs as long
  lineHoldMs: 5 * second, // at the head of the line for a key that others conflict on too; then the next one runs
  kvWatchMs: 20 * second, // a watch that has seen nothing looks again by itself: wake-ups may be lost
  // --- queues
  messageBytes: 256 * KiB, // of a message's body as JSON; larger content goes through a blob
  sendBatchMessages: 1000,
  messageDelayMs: 366 * day,
  messagePriority: 9, // the highest; 0 where none is given
  dedupeMs: 24 * 60 * minute, // how long an id is remembered
  dedupeIdChars: 256,
  groupChars: 256,
  queueReadMessages: 2000, // read ahead of what is delivered, at most
  queueHeldMessages: 100_000, // in memory, in flight and waiting behind others of their group: by their keys, some 300 bytes each
  queueHeldBytes: 32 * MiB, // of their bodies; nothing further is read above it
  queueReruns: 100, // of one delivery that meets conflicts, before it fails with HOT_KEY
  peekMessages: 100,
  // --- cron and streams
  triggerAttempts: 1000, // what a function may ask for; at an hour between them this is six weeks
  cronGraceMs: 60 * second, // a tick that is later than this was missed; a restart takes less
  cronTicksWaiting: 100, // of those missed or queued: of more, the latest run; and with overlap "allow" so many at once
  cronTimerMs: 60 * second, // the one timer looks at the clock at least this often, for the clock may step
  streamPartitions: 64,
  streamLanes: 64, // of one partition and consumer; each has a cursor and a delivery of its own
  streamLanesPerConsumer: 512, // of all partitions; a change of their number writes all cursors in one commit
  streamKeyChars: 128, // of a record's key, a window's key and a producer's id; they stand in keys of the keyspace
  streamRecordBytes: 256 * KiB, // as the payload of any event; larger content goes through blob
  streamBatchRecords: 1000, // of one append and of one delivery: with counters and cursor well below commitWrites
  streamProducerMs: 7 * 24 * 60 * minute, // how long a producer's sequence number is remembered
  streamBufferRecords: 2000, // read ahead by a consumer for each partition
  streamBufferBytes: 8 * MiB, // and this much; a delivery has at most half of it
  streamTrimEntries: 500, // removed in one slice
  streamTrimMs: 10 * second, // between two looks at what is to be removed
  streamParkedMs: 14 * 24 * 60 * minute, // how long a record that was given up is kept with its consumer
  streamBumpRecords: 5000, // the cursor of a lane without records follows at this distance, so that a restart reads no more
  streamPageRecords: 500, // read at once by a consumer
  conflictReruns: 100, // of one event; then what it reads changes faster than it can run
  windowsPerRecord: 100, // sliding windows that one record is in
  windowStates: 2000, // that one delivery may read and write: more would not fit one commit
  windowStateBytes: 64 * KiB,
  tumblingStateBytes: 1_000_000, // of a Lambda function's tumbling window: AWS's bound; it stands in the lane's cursor
  tumblingGraceMs: 2 * second, // a tumbling window that nothing follows ends so much later: longer than an append takes
  windowsPerClose: 100, // that one delivery ends
  // --- asynchronous calls
  callAttempts: 3, // tries in all, where nobody says otherwise
  callAgeMs: 6 * 60 * minute, // as AWS Lambda
  callResultMs: 24 * 60 * minute, // how long what has become of a call is kept after its end
  callResultBytes: 512 * KiB, // of the answer that is kept; a larger one is dropped, and said to be
  callsAtOnce: 256, // of one environment; further ones wait
  callWaitMs: 60 * second, // of one request that waits for the end of a call
  callListPages: 50, // of 1,000 calls that one list looks through
  // --- keyspace
  keyBytes: 1024,
  valueBytes: 1 * MiB, // larger content goes to the blob store
  getKeys: 1000, // of one get
  rangePageEntries: 1000, // some milliseconds of the server's thread
  rangePageBytes: 4 * MiB,
  rangeCheckEntries: 10_000, // as many as one outcome may have read under check
  commitChecks: 12_000, // what an outcome has read, and the platform's own
  commitWrites: 4096, // 1,000 effects of an outcome, and the platform's own for each
  commitBytes: 8 * MiB, // keys and values together: 4 MiB of effects, and the platform's own
  deleteRangeEntries: 1000, // more is removed in slices, so that no commit waits long for another
  purgeEntries: 250, // of a purged queue, in one commit: others wait for one of these at the most
  onceMs: 60 * minute, // how long a commit can be recognised when it is repeated
  commitsWaiting: 65_536,
  commitsWaitingBytes: 64 * MiB,
  groupOperations: 1000, // checks and writes that share one sync of the disk: some milliseconds
  largeValueBytes: 4 * KiB, // values over it stand in a table of their own, so that the tree of keys stays small
  unmergedEntries: 32_768, // committed to the log, not yet in the tree; in the memory of two threads, 300 bytes each and the values
  unmergedBytes: 8 * MiB, // of their keys and values
  unmergedLogBytes: 16 * MiB, // read when the keyspace is opened: some 100 ms
  walBytes: 64 * MiB, // the write-ahead log is truncated above this
  reserveBytes: 64 * MiB, // given free when the disk is full, so that acknowledgements and deletes go on
  sweepEntries: 1000, // expired entries removed in one slice
  // --- records and logs
  recordRetentionMs: 7 * 24 * 60 * minute,
  recordBytes: 512 * MiB,
  logRetentionMs: 7 * 24 * 60 * minute,
  logBytes: 512 * MiB,
  recordTextChars: 1000, // a record's subject and its error message, each; longer ones are cut
  observeNameChars: 256, // app, function, deployment, alias and error code in a record or a line; longer ones are cut
  observeChunkBytes: 256 * KiB, // about 3,000 records: one message to the writer (some 100 us) and one row
  observeInFlightBytes: 16 * MiB, // on the way to the writer; beyond it records and lines are dropped and counted
  observeChunkAgeMs: 200, // a chunk that is not full goes to the writer after this long
  observeRestartMs: 10 * second, // a writer that dies is started again at most once in this time
  observeAnswerBytes: 16 * MiB, // records or lines of one query; older ones are left out
  observeOriginsPerBlock: 128, // functions by which a block is indexed; one with more is read by every query
  metricSeries: 2000, // functions with counters of their own; further ones are counted together
} as const;
