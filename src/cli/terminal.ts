/**
 * What a command prints: results on stdout, everything else on stderr. Colours only where the stream is a terminal (or
 * the environment asks for them). A reader that goes away (`aloft logs | head`) is an ordinary end, not an error.
 */

export interface Streams {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean | undefined };
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean | undefined };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean | undefined };
}

/** The process's own; stdin is touched only by the commands that read it, for opening it costs time. */
export const processStreams: Streams = {
  get stdin() {
    return process.stdin;
  },
  get stdout() {
    return process.stdout;
  },
  get stderr() {
    return process.stderr;
  },
};

export type Colour = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

export type Paint = (colour: Colour, text: string) => string;

const colourCodes: Readonly<Record<Colour, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

export class Terminal {
  /** Colours for stdout. */
  readonly paint: Paint;
  /** Colours for stderr. */
  readonly paintNote: Paint;
  readonly #streams: Streams;
  readonly #closed = new AbortController();

  constructor(streams: Streams, colour: boolean | null) {
    this.#streams = streams;
    this.paint = paintFor(colour ?? streams.stdout.isTTY === true);
    this.paintNote = paintFor(colour ?? streams.stderr.isTTY === true);
    for (const stream of [streams.stdout, streams.stderr]) {
      // EPIPE: nobody reads any more. Anything else (a full disk behind a redirection) leaves nowhere to say it either.
      stream.on("error", () => this.#closed.abort());
    }
  }

  /** Aborts when the reader of the output went away. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Whether a person sits in front and can be asked. */
  get interactive(): boolean {
    return this.#streams.stdin.isTTY === true && this.#streams.stderr.isTTY === true;
  }

  /** Whether notes on stderr may be rewritten in place. */
  get live(): boolean {
    return this.#streams.stderr.isTTY === true;
  }

  /** Whether results are shown to a person as they are. */
  get writesToScreen(): boolean {
    return this.#streams.stdout.isTTY === true;
  }

  get stdin(): Streams["stdin"] {
    return this.#streams.stdin;
  }

  /** Where questions are asked. */
  get noteStream(): Streams["stderr"] {
    return this.#streams.stderr;
  }

  /** A line of the result. */
  print(line: string): void {
    this.write(`${line}\n`);
  }

  /** Bytes of the result, as they are. */
  write(content: string | Uint8Array): void {
    if (!this.closed.aborted) this.#streams.stdout.write(content);
  }

  /** The same, no faster than the reader reads. */
  async writeFully(content: Uint8Array): Promise<void> {
    if (this.closed.aborted || this.#streams.stdout.write(content)) return;
    await new Promise<void>((resolve) => {
      this.#streams.stdout.once("drain", resolve);
      this.closed.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** A result as JSON: in full for a single value, `compact` for one value a line. */
  printJson(value: unknown, layout: "full" | "compact" = "full"): void {
    this.print(JSON.stringify(value, null, layout === "full" ? 2 : undefined));
  }

  /** A line for the person, not for the program that reads the result. */
  note(line: string): void {
    if (!this.closed.aborted) this.#streams.stderr.write(`${line}\n`);
  }

  /** Replaces the last such line on a terminal; "" clears it. Silent elsewhere. */
  progress(line: string): void {
    if (this.live) this.#streams.stderr.write(`\r\u001b[2K${line}`);
  }

  /** Columns side by side under their headings. */
  printTable(headings: readonly string[], rows: readonly (readonly string[])[]): void {
    const widths = headings.map((heading, column) =>
      Math.max(heading.length, ...rows.map((row) => (row[column] ?? "").length)),
    );
    const layOut = (row: readonly string[]) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd();
    this.print(this.paint("dim", layOut(headings)));
    for (const row of rows) this.print(layOut(row));
  }
}

/** Text of others (logs, errors of functions) without what moves the cursor or rings the bell; colours stay. */
export function harmless(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this is about
  return text.replace(/(\u001b\[[0-9;]*m)|[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "$1");
}

function paintFor(coloured: boolean): Paint {
  if (!coloured) return (_colour, text) => text;
  return (colour, text) => `\u001b[${colourCodes[colour][0]}m${text}\u001b[${colourCodes[colour][1]}m`;
}
