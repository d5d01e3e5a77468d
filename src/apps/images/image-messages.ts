/** Between the image store and its thread: one question, one answer. */
import type { ErrorCode } from "../../contract/errors.ts";
import type { LayerNotes } from "./layer-notes.ts";
import type { UnpackRequest } from "./layer-unpacker.ts";
import type { MergeRequest } from "./root-merger.ts";

export type ToImageThread = (UnpackRequest & { readonly kind: "unpack" }) | (MergeRequest & { readonly kind: "merge" });

export type FromImageThread =
  | { readonly kind: "unpacked"; readonly notes: LayerNotes }
  | { readonly kind: "merged" }
  /** An AloftError. */
  | {
      readonly kind: "refused";
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint: string | undefined;
    }
  /** The disk's fault, or a bug. */
  | {
      readonly kind: "failed";
      readonly errno: string | undefined;
      readonly message: string;
      readonly stack: string;
    };
