/** Who may come in (auth/authentication/model/User.java), with the key that signatures are made with. */
import { createSecretKey, type KeyObject } from "node:crypto";
import type { FastjsonMap } from "../../remoting/fastjson.js";
import { textMember } from "../protocol/members.js";
import { named } from "./resource.js";

const NAME_CHARS_MAX = 255;
const PASSWORD_CHARS_MAX = 1024;

const USER_TYPES = ["Super", "Normal"] as const;
export type UserType = (typeof USER_TYPES)[number];
const USER_STATUSES = ["enable", "disable"] as const;
export type UserStatus = (typeof USER_STATUSES)[number];

export class User {
  readonly username: string;
  readonly password: string;
  readonly userType: UserType;
  readonly userStatus: UserStatus;
  #key: KeyObject | undefined;

  constructor(username: string, password: string, userType: UserType, userStatus: UserStatus = "enable") {
    this.username = username;
    this.password = password;
    this.userType = userType;
    this.userStatus = userStatus;
  }

  get isSuper(): boolean {
    return this.userType === "Super";
  }

  /** The password as HMAC takes it, prepared once. */
  get key(): KeyObject {
    this.#key ??= createSecretKey(Buffer.from(this.password, "utf8"));
    return this.#key;
  }
}

/** What a UserInfo says (remoting/protocol/body/UserInfo.java); types and statuses that nobody knows are left out. */
export interface UserInfo {
  readonly password: string;
  readonly userType: UserType | undefined;
  readonly userStatus: UserStatus | undefined;
}

export function readUserInfo(map: FastjsonMap): UserInfo {
  return {
    password: textMember(map, "password") ?? "",
    userType: named(USER_TYPES, textMember(map, "userType") ?? ""),
    userStatus: named(USER_STATUSES, textMember(map, "userStatus") ?? ""),
  };
}

/** What is wrong with a name, if anything. */
export function usernameProblem(username: string): string | undefined {
  if (username.trim() === "") return "username can not be blank";
  if (username.length > NAME_CHARS_MAX) return `username has more than ${NAME_CHARS_MAX} characters`;
  return /\p{Cc}/u.test(username) ? "username has control characters" : undefined;
}

export function passwordProblem(password: string): string | undefined {
  if (password.trim() === "") return "password can not be blank";
  return password.length > PASSWORD_CHARS_MAX ? `password has more than ${PASSWORD_CHARS_MAX} characters` : undefined;
}
