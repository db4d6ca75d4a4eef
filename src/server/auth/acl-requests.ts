/** Codes 3006 to 3010: what users may do, as administrators see it (AdminBrokerProcessor.java). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, SUCCESS } from "../answer.js";
import type { BrokerContext } from "../broker/context.js";
import { savedAnswer } from "../broker/saved-answer.js";
import { serve } from "../broker/serve.js";
import { parseBody, textMember } from "../protocol/members.js";
import type { AccessControl } from "./access-control.js";
import {
  type Acl,
  NO_POLICIES,
  policiesJson,
  PolicyError,
  policyTypeNamed,
  readPolicies,
  updatedAcl,
  withoutResource,
} from "./policy.js";
import { parseResource } from "./resource.js";
import { withAccess } from "./user-requests.js";

const SUBJECT_PREFIX = "User:";

export function registerAclRequests(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.AUTH_CREATE_ACL, withAccess(updateAcl));
  serve(processors, context, RequestCode.AUTH_UPDATE_ACL, withAccess(updateAcl));
  serve(processors, context, RequestCode.AUTH_DELETE_ACL, withAccess(deleteAcl));
  serve(processors, context, RequestCode.AUTH_GET_ACL, withAccess(getAcl));
  serve(processors, context, RequestCode.AUTH_LIST_ACL, withAccess(listAcls));
}

function refused(remark: string): Answer {
  return failure(ResponseCode.NO_PERMISSION, quoted(remark));
}

/** `User:NAME`, the one kind of subject there is; undefined for anything else. */
function usernameOf(subject: string | undefined): string | undefined {
  const prefix = subject?.slice(0, SUBJECT_PREFIX.length) ?? "";
  return prefix.toLowerCase() === SUBJECT_PREFIX.toLowerCase() ? subject!.slice(SUBJECT_PREFIX.length) : undefined;
}

/** Create and update are the same in Apache: what is told comes on top of what there is. */
function updateAcl(
  control: AccessControl,
  { header, body }: Request,
  { log }: BrokerContext,
): Answer | Promise<Answer> {
  const { users, acls } = control;
  let username: string | undefined;
  let changes: Acl;
  try {
    const info = parseBody(body, "AclInfo");
    username = usernameOf(textMember(info, "subject")) ?? usernameOf(header.text("subject"));
    if (username === undefined) return refused("The subject is null.");
    changes = readPolicies(info);
    if (users.get(username) === undefined) {
      return refused(`The subject of ${SUBJECT_PREFIX}${username} is not exist.`);
    }
    acls.set(username, updatedAcl(acls.get(username) ?? NO_POLICIES, changes));
  } catch (error) {
    if (error instanceof PolicyError) return refused(error.message);
    throw error;
  }
  log.info({ username, policies: policiesJson(changes) }, "what a user may do was changed");
  return savedAnswer(acls.saver);
}

function deleteAcl(control: AccessControl, { header }: Request, { log }: BrokerContext): Answer | Promise<Answer> {
  const { users, acls } = control;
  const username = usernameOf(header.text("subject"));
  if (username === undefined) return refused("The subject is null.");
  if (users.get(username) === undefined) return refused("The subject is not exist.");
  const old = acls.get(username);
  if (old === undefined) return refused("The acl is not exist.");
  const key = header.text("resource")?.trim() ?? "";
  const resource = key === "" ? undefined : parseResource(key);
  // Apache takes a resource that it does not understand for none, and all policies go.
  if (key !== "" && resource === undefined) return failure(ResponseCode.INVALID_PARAMETER, "The resource is no such.");
  const type = policyTypeNamed(header.text("policyType") ?? "") ?? "Custom";
  if (resource === undefined) acls.delete(username);
  else acls.set(username, withoutResource(old, type, resource));
  log.info({ username, resource: key }, "what a user may do was taken away");
  return savedAnswer(acls.saver);
}

function getAcl(control: AccessControl, { header }: Request): Answer {
  const username = usernameOf(header.text("subject"));
  if (username === undefined) return refused("The subject is null.");
  if (control.users.get(username) === undefined) return refused("The subject is not exist.");
  const acl = control.acls.get(username);
  return acl === undefined ? SUCCESS : jsonAnswer(aclJson(username, policiesJson(acl)));
}

function listAcls(control: AccessControl, { header }: Request): Answer {
  const subjectFilter = header.text("subjectFilter")?.trim() ?? "";
  const resourceFilter = header.text("resourceFilter")?.trim() ?? "";
  const list = [...control.acls.entries()].flatMap(([username, acl]) => {
    if (!`${SUBJECT_PREFIX}${username}`.includes(subjectFilter)) return [];
    const policies = policiesJson(acl, resourceFilter);
    return policies === undefined ? [] : [aclJson(username, policies)];
  });
  return list.length === 0 ? SUCCESS : jsonAnswer(list);
}

function aclJson(username: string, policies: ReturnType<typeof policiesJson>) {
  return { policies, subject: `${SUBJECT_PREFIX}${username}` };
}
