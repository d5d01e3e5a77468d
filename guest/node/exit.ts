/** The way out that user code cannot replace: `process.exit` is wrapped for them, this one is not. */
const exit = process.exit.bind(process);

export function exitNow(code: number): never {
  return exit(code);
}
