/** What every peer's program has in common: its arguments, and the measurement from the first send to the last handled. */
const [connection, mode, countText] = process.argv.slice(2);
export { connection, mode };
export const count = Number(countText);
export const batch = 100;
/** Senders at once, each waiting for its own send to be acknowledged. */
const senders = mode === "batches" ? 4 : 64;

let handled = 0;
let finish;
const finished = new Promise((resolve) => (finish = resolve));

export function done(messages) {
  handled += messages;
  if (handled >= count) finish();
}

/** `send(numbers)` resolves when these messages are acknowledged: one at a time, or `batch` of them. */
export async function measure(send) {
  const startedMs = performance.now();
  let next = 0;
  const size = mode === "batches" ? batch : 1;
  await Promise.all(
    Array.from({ length: senders }, async () => {
      while (next < count) {
        const from = next;
        next += size;
        await send(Array.from({ length: Math.min(size, count - from) }, (_, index) => from + index));
      }
    }),
  );
  const sentMs = performance.now();
  await finished;
  const endedMs = performance.now();
  console.log(
    JSON.stringify({
      sendPerSecond: (count / (sentMs - startedMs)) * 1000,
      perSecond: (count / (endedMs - startedMs)) * 1000,
    }),
  );
  process.exit(0);
}
