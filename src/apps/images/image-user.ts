/** Which user an image's program runs as: `User` of its config, looked up in its own /etc/passwd and /etc/group. */
import { AloftError } from "../../contract/errors.ts";
import { readInside } from "./inside-root.ts";

export interface ImageUser {
  readonly uid: number;
  readonly gid: number;
  /** Further groups. */
  readonly groups: readonly number[];
  /** "" when nothing says one. */
  readonly home: string;
}

interface PasswdLine {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupLine {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const listBytesMax = 1024 * 1024;
const groupsMax = 32;
const numberMax = 2 ** 31 - 1;

/** `user`: "", "name", "uid", each also with ":group" or ":gid". Throws IMAGE_USER_UNKNOWN. */
export function findImageUser(user: string, root: string): ImageUser {
  const [wanted = "", wantedGroup] = user.split(":");
  const users = parsePasswd(readList(root, "/etc/passwd"));
  const groups = parseGroup(readList(root, "/etc/group"));
  const named = users.find(({ name }) => name === (wanted === "" ? "root" : wanted));
  const number = wanted === "" ? 0 : numberOf(wanted);
  // A name of digits is a name where somebody has it, as with docker.
  const found = (wanted === "" ? undefined : named) ?? users.find(({ uid }) => uid === number);
  const uid = found?.uid ?? number;
  if (uid === null) throw unknown(user, `its /etc/passwd has no user "${wanted}"`);
  const home = found?.home ?? "";
  if (wantedGroup === undefined || wantedGroup === "") {
    return { uid, gid: found?.gid ?? 0, groups: groupsOf(found, groups), home };
  }
  const gid = groups.find(({ name }) => name === wantedGroup)?.gid ?? numberOf(wantedGroup);
  if (gid === null) throw unknown(user, `its /etc/group has no group "${wantedGroup}"`);
  return { uid, gid, groups: [], home };
}

/**
 * Every number of the image's /etc/passwd and /etc/group, those first that a program is likely to become: users that the image
 * has added, with their groups. Throws IMAGE_USER_UNKNOWN.
 */
export function listImageOwners(root: string): readonly number[] {
  const users = parsePasswd(readList(root, "/etc/passwd"));
  const groups = parseGroup(readList(root, "/etc/group"));
  const added = users.filter(({ uid }) => isAdded(uid));
  const others = users.filter(({ uid }) => !isAdded(uid));
  const ofUsers = [...added, ...others].flatMap((user) => [user.uid, user.gid, ...groupsOf(user, groups)]);
  return [...new Set([...ofUsers, ...groups.map(({ gid }) => gid)])];
}

/** Distributions number their own below 100, and nobody near the end of 16 bits. */
function isAdded(uid: number): boolean {
  return uid >= 100 && uid < 60_000;
}

function groupsOf(user: PasswdLine | undefined, groups: readonly GroupLine[]): number[] {
  if (user === undefined) return [];
  const own = groups.filter(({ members, gid }) => gid !== user.gid && members.includes(user.name));
  return [...new Set(own.map(({ gid }) => gid))].slice(0, groupsMax);
}

function readList(root: string, path: string): string {
  try {
    return readInside(root, path, listBytesMax) ?? "";
  } catch (error) {
    if (error instanceof RangeError) throw new AloftError("IMAGE_USER_UNKNOWN", `the image's ${error.message}`);
    throw error;
  }
}

function parsePasswd(text: string): PasswdLine[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , uid = "", gid = "", , home = ""] = line.split(":");
    const [uidNumber, gidNumber] = [numberOf(uid), numberOf(gid)];
    return name === "" || uidNumber === null || gidNumber === null
      ? []
      : [{ name, uid: uidNumber, gid: gidNumber, home }];
  });
}

function parseGroup(text: string): GroupLine[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , gid = "", members = ""] = line.split(":");
    const number = numberOf(gid);
    return name === "" || number === null ? [] : [{ name, gid: number, members: members.split(",") }];
  });
}

function numberOf(text: string): number | null {
  return /^\d{1,10}$/.test(text) && Number(text) <= numberMax ? Number(text) : null;
}

function unknown(user: string, why: string): AloftError {
  return new AloftError("IMAGE_USER_UNKNOWN", `the image runs as "${user.slice(0, 100)}", but ${why}`, {
    hint: "name a user that the image has, or a number, with USER in its Dockerfile",
  });
}
