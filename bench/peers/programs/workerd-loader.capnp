using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .router)],
  sockets = [(name = "http", http = (), service = "main")]
);

const router :Workerd.Worker = (
  modules = [
    (name = "workerd-loader.js", esModule = embed "workerd-loader.js"),
    (name = "worker-source", text = embed "worker.js")
  ],
  compatibilityDate = "2026-01-01",
  compatibilityFlags = ["experimental"],
  bindings = [(name = "LOADER", workerLoader = (id = "bench"))]
);
