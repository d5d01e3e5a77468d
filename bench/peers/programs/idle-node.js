// A bare Node that has touched its web classes, as every runtime of functions must, and waits.
globalThis.touched = [new Request("http://localhost/"), new Response("hello"), fetch];
setInterval(() => {}, 2 ** 30);
console.log("ready");
