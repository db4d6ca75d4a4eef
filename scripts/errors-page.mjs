/** docs/reference/errors.md, from the table of errors: `npm run docs:pages` writes it after a build, and a test compares. */
const HEAD = `<!-- Made of the table of errors by \`npm run docs:pages\`. -->

# Errors

What is thrown is a \`CometError\`: \`code\` is stable, the message says what happened and ends with the remedy, \`retryable\`
whether the same call may succeed later without anybody doing anything. Errors of the client library are subclasses with
more in them, \`ResponseError.responseCode\` for instance, which is Apache's ([API](../api/client.md)). The outcomes of
\`put\` and \`get\` of a store are status values, not errors.

| code | retryable | what to do |
| --- | --- | --- |
`;

export function errorsPage(errors) {
  const rows = Object.entries(errors).map(
    ([code, { retryable, remedy }]) => `| \`${code}\` | ${retryable ? "yes" : "no"} | ${remedy} |`,
  );
  return `${HEAD}${rows.join("\n")}\n`;
}
