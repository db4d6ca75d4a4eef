/**
 * The text of docs/reference/commands.md, from the commands themselves: `node scripts/commands-page.mjs` prints it after a
 * build, and a test compares.
 */
const WIDTH = 110;

const HEAD = `# Commands

\`cometmq --help\` and \`cometmq VERB --help\` say the same as this page, which is made of them.

Verbs that talk to a cluster (\`topic\`, \`group\`, \`produce\`, \`consume\`, \`message\`, \`lag\`, \`offset\`, \`dlq\`, \`timer\`, \`config\`,
\`bench\`) ask its name servers where its brokers are, CometMQ's or Apache's: \`--namesrv\`, or NAMESRV_ADDR in the environment. They
print tables on a terminal, plain columns into a pipe, a JSON object a line with \`--json\`. Their exit status is 0 when all
is done, 1 when a server refuses or there is no such thing, 2 when it could not be asked, a flag is wrong or stdout takes
no more (nobody reading, as with \`| head\`, is no failure), 130 when Ctrl-C ended it before all was done; what went wrong is
one line on stderr. Times are given in UTC. Where a cluster asks who sends a request, COMETMQ_ACCESS_KEY and
COMETMQ_SECRET_KEY say it; \`--tls-config\` has it spoken to over TLS.

<!-- setup
cometmq topic create '%DLQ%billing' --queues 1
cometmq topic create '%RETRY%billing' --queues 1
cometmq produce '%DLQ%billing' 'invoice 7' --property RETRY_TOPIC=orders
-->
\`\`\`sh
cometmq topic create orders --queues 4
cometmq produce orders '{"id":1}' --key 1 --tag new
seq 1000 | cometmq produce orders
cometmq consume orders --tags new --json
cometmq consume orders -f --group billing        # from where the group is; Ctrl-C commits and ends
cometmq lag billing --max 100 || echo behind
cometmq offset reset billing orders --to 2026-01-31T12:00Z
cometmq dlq redrive billing                      # each dead letter once, to this group alone
\`\`\`

\`bench send\`, \`consume\`, \`e2e\`, \`fanout\` and \`many-queues\` measure a server over the wire, CometMQ's or Apache's. Every
message has a number and a checksum in its body, and a run ends with an account: sent = stored = received, or the status is
1 and a sentence says what is missing. At a fixed \`--rate\` latency counts from when a message is due, so that a stall is
charged to all that wait behind it. Ctrl-C ends a run with the figures up to then, in order, and status 130. Without
\`--topic\` they use a topic of their own, which is deleted afterwards.

\`\`\`sh
cometmq bench e2e --rate 500 --duration 5 --json before.json --html before.html   # --server-pid PID: its CPU and memory
cometmq bench send --topic orders --connections 8 --in-flight 128 --duration 2
cometmq bench e2e --rate 500 --duration 5 --json after.json
cometmq bench compare before.json after.json --fail-above 1.1 || echo slower
source <(cometmq completion bash)                # completes commands and flags; zsh and fish likewise
\`\`\`

A group that \`consume\` reads for should have no other members at that time: it takes all queues, and waits for nobody.
`;

/** @param {import("commander").Command} program @param {Readonly<Record<string, readonly string[]>>} examples */
export function commandsPage(program, examples) {
  const sections = [HEAD];
  const add = (command, path) => {
    command.configureHelp({ helpWidth: WIDTH });
    const below = (examples[path] ?? []).map((line) => `  ${line}`);
    const text = [command.helpInformation().trimEnd(), ...(below.length > 0 ? ["", "Examples:", ...below] : [])];
    sections.push(`## ${path}\n\n\`\`\`\n${text.join("\n")}\n\`\`\`\n`);
    for (const child of command.commands) add(child, `${path} ${child.name()}`);
  };
  add(program, program.name());
  return sections.join("\n");
}

if (process.argv[1] === import.meta.filename) {
  const { cometmqProgram } = await import("../dist/cli/program.js");
  const { HELP_EXAMPLES } = await import("../dist/cli/help-examples.js");
  process.stdout.write(commandsPage(cometmqProgram(), HELP_EXAMPLES));
}
