import { openMemoryMetaStore } from "./memory-meta-store.ts";
import { metaStoreSuite } from "./meta-store.suite.ts";

metaStoreSuite("memory", async () => openMemoryMetaStore());
