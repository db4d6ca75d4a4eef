/**
 * Codes 3001 to 3005: users as administrators see them (AdminBrokerProcessor.java). A password is told to super users
 * only, who copy users with it (mqadmin copyUser); a super user is changed by super users only.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, SUCCESS } from "../answer.js";
import type { BrokerContext } from "../broker/context.js";
import { savedAnswer } from "../broker/saved-answer.js";
import { serve } from "../broker/serve.js";
import { parseBody } from "../protocol/members.js";
import type { AccessControl } from "./access-control.js";
import { USERS_MAX } from "./access-tables.js";
import { passwordProblem, readUserInfo, User, type UserInfo, usernameProblem } from "./user.js";

type AccessHandler = (control: AccessControl, request: Request, context: BrokerContext) => Answer | Promise<Answer>;

/** As Apache answers where no metadata provider is configured. */
export function withAccess(handler: AccessHandler) {
  return (context: BrokerContext, request: Request): Answer | Promise<Answer> =>
    context.access === undefined
      ? failure(ResponseCode.SYSTEM_ERROR, "The authenticationMetadataProvider is not configured.")
      : handler(context.access.control, request, context);
}

export function registerUserRequests(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.AUTH_CREATE_USER, withAccess(createUser));
  serve(processors, context, RequestCode.AUTH_UPDATE_USER, withAccess(updateUser));
  serve(processors, context, RequestCode.AUTH_DELETE_USER, withAccess(deleteUser));
  serve(processors, context, RequestCode.AUTH_GET_USER, withAccess(getUser));
  serve(processors, context, RequestCode.AUTH_LIST_USER, withAccess(listUsers));
}

function refused(remark: string): Answer {
  return failure(ResponseCode.NO_PERMISSION, quoted(remark));
}

function blankName(): Answer {
  return failure(ResponseCode.INVALID_PARAMETER, "The username is blank");
}

/** Where nobody is asked who he is, everybody may. */
function mayChangeSuper(request: Request, { access }: BrokerContext): boolean {
  return access?.enforced !== true || access.control.signerOf(request)?.isSuper === true;
}

function givenInfo({ body }: Request): UserInfo {
  return readUserInfo(parseBody(body, "UserInfo"));
}

function createUser(control: AccessControl, request: Request, context: BrokerContext): Answer | Promise<Answer> {
  const username = request.header.text("username") ?? "";
  if (username === "") return blankName();
  const { password, userType = "Normal", userStatus = "enable" } = givenInfo(request);
  if (userType === "Super" && !mayChangeSuper(request, context)) {
    return failure(ResponseCode.SYSTEM_ERROR, "The super user can only be create by super user");
  }
  const problem = usernameProblem(username) ?? passwordProblem(password);
  if (problem !== undefined) return refused(problem);
  const { users } = control;
  if (users.get(username) !== undefined) return refused("The user is existed");
  if (users.size >= USERS_MAX) return refused(`There are ${USERS_MAX} users already`);
  users.set(new User(username, password, userType, userStatus));
  context.log.info({ username, userType }, "a user was created");
  return savedAnswer(users.saver);
}

function updateUser(control: AccessControl, request: Request, context: BrokerContext): Answer | Promise<Answer> {
  const username = request.header.text("username") ?? "";
  if (username === "") return blankName();
  const { users } = control;
  const given = givenInfo(request);
  const old = users.get(username);
  const mayNot = !mayChangeSuper(request, context);
  if (given.userType === "Super" && mayNot) {
    return failure(ResponseCode.SYSTEM_ERROR, "The super user can only be update by super user");
  }
  if (old === undefined) return refused("The user is not exist");
  if (old.isSuper && mayNot) return refused("The super user can only be update by super user");
  const password = given.password.trim() === "" ? old.password : given.password;
  const problem = passwordProblem(password);
  if (problem !== undefined) return refused(problem);
  users.set(new User(username, password, given.userType ?? old.userType, given.userStatus ?? old.userStatus));
  context.log.info({ username }, "a user was changed");
  return savedAnswer(users.saver);
}

/** What the user might do goes with him. */
function deleteUser(control: AccessControl, request: Request, context: BrokerContext): Answer | Promise<Answer> {
  const username = request.header.text("username") ?? "";
  if (username.trim() === "") return refused("username can not be blank");
  const { users, acls } = control;
  const old = users.get(username);
  if (old === undefined) return SUCCESS;
  if (old.isSuper && !mayChangeSuper(request, context)) {
    return refused("The super user can only be update by super user");
  }
  users.delete(username);
  acls.delete(username);
  context.log.info({ username }, "a user was deleted");
  return savedAnswer([users.saver, acls.saver]);
}

function getUser(control: AccessControl, request: Request, context: BrokerContext): Answer {
  const username = request.header.text("username") ?? "";
  if (username.trim() === "") return blankName();
  const user = control.users.get(username);
  return user === undefined ? SUCCESS : jsonAnswer(userJson(user, tellsPasswords(request, context)));
}

function listUsers(control: AccessControl, request: Request, context: BrokerContext): Answer {
  const users = control.users.list(request.header.text("filter")?.trim() ?? "");
  if (users.length === 0) return SUCCESS;
  const withPasswords = tellsPasswords(request, context);
  return jsonAnswer(users.map((user) => userJson(user, withPasswords)));
}

function tellsPasswords(request: Request, { access }: BrokerContext): boolean {
  return access?.enforced === true && access.control.signerOf(request)?.isSuper === true;
}

function userJson({ username, password, userType, userStatus }: User, withPassword: boolean) {
  return { password: withPassword ? password : undefined, userStatus, userType, username };
}
