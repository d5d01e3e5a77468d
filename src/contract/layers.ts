/** Where a deployment holds what its layers hold; functions find it as /opt. */
export { layersFolder } from "../wire/messages.ts";
