/** What becomes of a value that travels as JSON: the same rules for types (`AsJson`) and for values (`asJson`). */

/**
 * The type that a receiver sees: a `Date` arrives as a string, methods and symbols do not arrive, a property that may be
 * undefined may be missing, and `undefined` on its own or in a list is null.
 */
export type AsJson<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null
    ? T
    : T extends undefined | void
      ? null
      : T extends { toJSON(...parameters: never[]): infer Replacement }
        ? AsJson<Replacement>
        : T extends bigint
          ? never
          : T extends NotInJson
            ? null
            : T extends readonly unknown[]
              ? { [Index in keyof T]: AsJson<T[Index]> }
              : T extends object
                ? AsJsonObject<T>
                : never;

type NotInJson = ((...parameters: never[]) => unknown) | symbol;

type AsJsonObject<T> = Flat<
  {
    [Key in keyof T as Arrival<Key, T[Key], "always">]: AsJson<T[Key]>;
  } & {
    [Key in keyof T as Arrival<Key, T[Key], "maybe">]?: AsJson<Exclude<T[Key], undefined | NotInJson>>;
  }
>;

/** The key when its property arrives always or maybe, as asked; never otherwise. */
type Arrival<Key, Value, When extends "always" | "maybe"> = Key extends symbol
  ? never
  : unknown extends Value
    ? When extends "always"
      ? Key
      : never
    : [Value] extends [undefined | NotInJson]
      ? never
      : Extract<Value, undefined | NotInJson> extends never
        ? When extends "always"
          ? Key
          : never
        : When extends "maybe"
          ? Key
          : never;

type Flat<T> = { [Key in keyof T]: T[Key] };

/** The value as a receiver would see it. Throws what `JSON.stringify` throws, for a cycle or a bigint. */
export function asJson<T>(value: T): AsJson<T> {
  const text = JSON.stringify(value) as string | undefined;
  return (text === undefined ? null : JSON.parse(text)) as AsJson<T>;
}
