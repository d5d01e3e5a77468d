/** A Hono app, default-exported. Whatever has a `fetch` method is served the same way. */
import { Hono } from "hono";

const app = new Hono();

app.get("/", (context) => context.json({ style: "hono" }));
app.get("/hello/:name", (context) => context.json({ style: "hono", hello: context.req.param("name") }));

export default app;
