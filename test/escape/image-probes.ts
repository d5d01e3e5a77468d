/** What the root of an image tries, besides what any code does. By the names of `system-calls.c`. */

export interface ImageProbe {
  readonly name: string;
  readonly about: string;
}

export const imageProbes: readonly ImageProbe[] = [
  { name: "root_chown_stranger", about: "give a file to a user of the host" },
  { name: "root_be_stranger", about: "become a user of the host" },
  { name: "root_join_stranger", about: "join a group of the host" },
  { name: "root_foreign_file", about: "read a file of its image whose owner has no number here" },
  { name: "root_give_capability", about: "give a file a capability" },
  { name: "root_setuid_file", about: "leave a file in its image that runs as root" },
  { name: "root_more_capabilities", about: "take every capability" },
  { name: "root_keep_capabilities", about: "hand a capability on to whoever it becomes" },
  { name: "root_more_files", about: "raise a limit beyond what it was given" },
  { name: "root_be_first", about: "take processor time before others" },
  { name: "root_interface", about: "switch a network interface off" },
  { name: "root_resolver", about: "name another resolver" },
  { name: "root_core_pattern", about: "open /proc/sys/kernel/core_pattern for writing" },
  { name: "root_first_port", about: "open a setting of the network for writing" },
  { name: "root_user_map", about: "change which users of the host it may be" },
];
