// A router in front of workerd's dynamic worker loader: the host name says which worker to load, once, and to call.
import source from "worker-source";

// oxlint-disable-next-line import/no-default-export -- that is how a worker looks
export default {
  async fetch(request, env) {
    const app = new URL(request.url).hostname;
    const worker = env.LOADER.get(app, () => ({
      compatibilityDate: "2026-01-01",
      mainModule: "worker.js",
      modules: { "worker.js": source },
      globalOutbound: null,
    }));
    return worker.getEntrypoint().fetch(request);
  },
};
