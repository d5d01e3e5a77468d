/** What the resolver has to understand of DNS messages (RFC 1035, section 4): the question, and the addresses of an answer. */

export interface DnsQuestion {
  readonly id: number;
  /** Lower case, without a dot at its end. */
  readonly name: string;
  readonly type: number;
  /** Where the question ends in the message. */
  readonly end: number;
}

export interface FoundAddress {
  readonly address: number;
  readonly ttlMs: number;
}

export const RecordType = { a: 1, cname: 5, aaaa: 28, svcb: 64, https: 65 } as const;
export const ResponseCode = { none: 0, serverFailure: 2, nameError: 3 } as const;

const headerBytes = 12;
const inClass = 1;
const nameBytesMax = 255;

/** null: no query that a resolver could answer. */
export function readQuestion(message: Buffer): DnsQuestion | null {
  if (message.length < headerBytes + 5) return null;
  const isQuery = (message.readUInt16BE(2) & 0xf800) === 0;
  if (!isQuery || message.readUInt16BE(4) !== 1) return null;
  const name = readName(message, headerBytes);
  if (name === null || name.end + 4 > message.length) return null;
  if (message.readUInt16BE(name.end + 2) !== inClass) return null;
  return { id: message.readUInt16BE(0), name: name.text, type: message.readUInt16BE(name.end), end: name.end + 4 };
}

/** Whether it answers this query and no other: whoever forges one has to guess its number and its port. */
export function answersTo(question: DnsQuestion, query: Buffer, answer: Buffer): boolean {
  if (answer.length < question.end || answer.readUInt16BE(0) !== question.id) return false;
  const asked = query.subarray(headerBytes, question.end);
  return (answer.readUInt16BE(2) & 0x8000) !== 0 && answer.subarray(headerBytes, question.end).equals(asked);
}

/** The IPv4 addresses that an answer names, whatever alias they stand under. What is malformed ends the list. */
export function readAddresses(question: DnsQuestion, answer: Buffer): readonly FoundAddress[] {
  const found: FoundAddress[] = [];
  let at = question.end;
  for (let left = answer.readUInt16BE(6); left > 0; left -= 1) {
    const after = skipName(answer, at);
    if (after === null || after + 10 > answer.length) break;
    const [type, kind] = [answer.readUInt16BE(after), answer.readUInt16BE(after + 2)];
    const bytes = answer.readUInt16BE(after + 8);
    at = after + 10 + bytes;
    if (at > answer.length) break;
    if (type !== RecordType.a || kind !== inClass || bytes !== 4) continue;
    found.push({ address: answer.readUInt32BE(after + 10), ttlMs: answer.readUInt32BE(after + 4) * 1000 });
  }
  return found;
}

/** An answer without records. */
export function emptyAnswer(query: Buffer, question: DnsQuestion, code: number): Buffer {
  const answer = Buffer.from(query.subarray(0, question.end));
  const wantsRecursion = query.readUInt16BE(2) & 0x0100;
  answer.writeUInt16BE(0x8080 | wantsRecursion | code, 2);
  answer.writeUInt16BE(0, 6);
  answer.writeUInt16BE(0, 8);
  answer.writeUInt16BE(0, 10);
  return answer;
}

/** Of a question: it comes first, so it points nowhere. */
function readName(message: Buffer, start: number): { readonly text: string; readonly end: number } | null {
  const labels: string[] = [];
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63 || at - start > nameBytesMax) return null;
    at += 1;
    if (length === 0) return { text: labels.join(".").toLowerCase(), end: at };
    if (at + length > message.length) return null;
    labels.push(message.toString("latin1", at, at + length));
    at += length;
  }
}

function skipName(message: Buffer, start: number): number | null {
  for (let at = start; ;) {
    const length = message[at];
    if (length === undefined) return null;
    if (length >= 0xc0) return at + 2;
    if (length > 63) return null;
    if (length === 0) return at + 1;
    at += 1 + length;
  }
}
