import { openForTest } from "../open-for-test.fixture.ts";
import { sandboxSuite } from "../sandbox.suite.ts";

sandboxSuite({ kind: "process", open: (folder) => openForTest("process", folder) });
