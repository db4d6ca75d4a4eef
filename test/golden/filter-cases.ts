/**
 * Random SQL92 expressions with random properties, for comparing with Apache's own filter: mostly such as a person would
 * write, often of the odd kinds where implementations part, and some that are broken on purpose.
 */
import fc from "fast-check";

export interface FilterCase {
  expression: string;
  /** One set a message. */
  properties: [string, string][][];
}

const NAMES = ["a", "b", "c", "_x", "$y", "TAGS", "notx", "Order1"];
const ODD_NAMES = ["KEYS", "UNIQ_KEY", "__SHARDINGKEY", "in_", "isNull", "between$", "L", "e1", "LIKE", "A", "$", "_"];

const VALUES = [
  ...["1", "5", "-5", "+5", "007", "0", "-0", "2147483647", "2147483648", "-2147483648", "-2147483649"],
  ...[
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "9007199254740993",
    "00000000000000000000009",
  ],
  ...["5.0", "5.5", "-5.5", ".5", "5.", "1e3", "1E-3", "1e400", "4.9e-324", "0.1", "0.30000000000000004", " 5 ", "5 "],
  ...["5d", "5.5f", "5L", "0x10", "0x1p4", "-0x1.8p1", "0x.8P0", "0x1p-1075", "0x1.0000000000000801p0", "NaN", "-NaN"],
  ...[
    "Infinity",
    "-Infinity",
    "inf",
    "true",
    "TRUE",
    "false",
    "tRuE",
    "abc",
    "x",
    "ab",
    "'",
    "it's",
    "é",
    "日本",
    "😀",
  ],
  ...["٥", "５", "-१२", "1٥", "\t5", "1_000", "null", "a b", "=", "1,5", "123456789012345", "1234567890123456"],
];

const LITERALS = [
  ...["0", "1", "5", "007", "5L", "5l", "0L", "2147483647", "2147483648", "4294967296", "9223372036854775807"],
  ...["9223372036854775808", "9007199254740993", "99999999999999999999", "5.0", "5.5", ".5", "5.", "1e3", "1E-3"],
  ...["1e400", "0.0", "1e-400", "4.9e-324", "5.e1", "12.5E+2", "1000", "0.1", "0x10", "5d", "16.0", "3.0"],
  ...["2147483648L", "9223372036854775807l", "9223372036854775808L", "0l", "00", "00.5", "010e1", "0e0", "0.", "1.e"],
  ...["1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1e309", "2.4e-324", "2.5e-324"],
  ...["1e", "1e+", "1E-", "5..5", "5.5.5", "1_0", "0X1F", "0b1", "1f", "5LL", "1e3L", ".5e1", "5.5L", "5.L", "1e00003"],
  ...["0.000000000000000000000000000001", "123456789012345678901234567890.0", "9007199254740993.0", "4294967295"],
];

const TEXTS = [
  "''",
  "'a'",
  "'abc'",
  "'5'",
  "'5.5'",
  "'it''s'",
  "'true'",
  "'TRUE'",
  "'é'",
  "'日'",
  "'😀'",
  "' '",
  "'b'",
  "''''",
  ...[
    "''''''",
    "'a''b'",
    "'''a'",
    "'a'''",
    "'%'",
    "'a_'",
    "'\\'",
    "'\\''",
    "'\n'",
    "'--'",
    "'/*'",
    "'and'",
    "'null'",
    "'0x10'",
  ],
  ...["'NaN'", "' 5 '", "'5L'", "'false'", "'\u00a0'", "'1e400'", "'-0'", "'AB'"],
];
const MISTAKES = [
  "",
  "#",
  "!=",
  "==",
  "(",
  ")",
  ",",
  "--",
  "/*",
  "*/",
  "AND",
  "OR NOT",
  "NULL",
  ".",
  "'",
  '"',
  ";",
  "%",
  "é",
  "?",
];

const word = (text: string) =>
  fc.constantFrom(text, text.toLowerCase(), text.charAt(0) + text.slice(1).toLowerCase()).map((shown) => ` ${shown} `);
const blank = fc.oneof(
  { weight: 12, arbitrary: fc.constant("") },
  { weight: 6, arbitrary: fc.constant(" ") },
  { weight: 1, arbitrary: fc.constantFrom("\t", "\n", "\f", "/* x */", "--c\n", "/***/", "\r") },
);
const joined = (...parts: fc.Arbitrary<string>[]) => fc.tuple(...parts).map((all) => all.join(""));
const text = fc.constantFrom(...TEXTS);
const literal = fc.constantFrom(...LITERALS);
const name = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...NAMES, "missing") },
  { weight: 1, arbitrary: fc.constantFrom(...ODD_NAMES) },
);
const list = fc.array(text, { minLength: 1, maxLength: 7 }).chain((texts) => fc.constant(`(${texts.join(", ")})`));

const { condition } = fc.letrec<{ condition: string; operand: string; number: string }>((tie) => ({
  number: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    { weight: 4, arbitrary: literal },
    { weight: 4, arbitrary: name },
    { weight: 1, arbitrary: joined(fc.constantFrom("-", "+", "- "), tie("number")) },
  ),
  operand: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    { weight: 8, arbitrary: name },
    { weight: 6, arbitrary: tie("number") },
    { weight: 4, arbitrary: text },
    { weight: 2, arbitrary: fc.constantFrom("TRUE", "false") },
    { weight: 1, arbitrary: joined(fc.constant("("), tie("condition"), fc.constant(")")) },
    { weight: 1, arbitrary: fc.constantFrom("NULL", "(a)", "-'x'", "-TRUE", "-(a = 1)", "-b") },
  ),
  condition: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    { weight: 7, arbitrary: joined(tie("operand"), blank, fc.constantFrom("=", "<>"), blank, tie("operand")) },
    { weight: 8, arbitrary: joined(tie("number"), blank, fc.constantFrom("<", "<=", ">", ">="), blank, tie("number")) },
    { weight: 3, arbitrary: joined(tie("operand"), word("IS"), fc.oneof(fc.constant(""), word("NOT")), word("NULL")) },
    {
      weight: 4,
      arbitrary: joined(
        tie("number"),
        fc.oneof(fc.constant(""), word("NOT")),
        word("BETWEEN"),
        tie("number"),
        word("AND"),
        tie("number"),
      ),
    },
    { weight: 4, arbitrary: joined(name, fc.oneof(fc.constant(""), word("NOT")), word("IN"), list) },
    {
      weight: 4,
      arbitrary: joined(
        fc.oneof({ weight: 5, arbitrary: name }, tie("operand")),
        fc.oneof(fc.constant(""), word("NOT")),
        fc.oneof(word("CONTAINS"), word("STARTSWITH"), word("ENDSWITH")),
        text,
      ),
    },
    { weight: 1, arbitrary: fc.constantFrom("TRUE", "FALSE", "NULL", "a", "(b)", "TAGS") },
    { weight: 4, arbitrary: joined(tie("condition"), fc.oneof(word("AND"), word("OR")), tie("condition")) },
    { weight: 2, arbitrary: joined(word("NOT"), tie("condition")) },
    { weight: 3, arbitrary: joined(fc.constant("("), blank, tie("condition"), blank, fc.constant(")")) },
  ),
}));

const WORDS = [
  "NOT",
  "AND",
  "OR",
  "BETWEEN",
  "IN",
  "TRUE",
  "FALSE",
  "NULL",
  "IS",
  "CONTAINS",
  "STARTSWITH",
  "ENDSWITH",
];
const mixedCase = fc
  .tuple(fc.constantFrom(...WORDS), fc.nat())
  .map(([shown, bits]) => [...shown].map((c, i) => ((bits >> i) & 1 ? c.toLowerCase() : c)).join(""));
const SIGNS = ["=", "<>", "<", "<=", ">", ">=", "(", ")", ",", "-", "+", "'", ".", "!=", "==", "*", "/", "%"];
const SPACES = [" ", "\t", "\n", "\r", "\f", "\r\n", "\v", "\u00a0", "\u2028", "\ufeff", "\0"];
const COMMENTS = [
  "--",
  "--x\n",
  "--x\r",
  "--\r\n",
  "--'\n",
  "/**/",
  "/*/",
  "/*/*/",
  "/***/",
  "/* ' */",
  "/*\n--*/",
  "/* *",
  "*/",
];

/** Tokens of every kind in any order: what stands beside what decides where a token ends. */
const anyToken = fc.oneof(
  { weight: 6, arbitrary: mixedCase },
  { weight: 5, arbitrary: fc.constantFrom(...SIGNS) },
  { weight: 4, arbitrary: name },
  { weight: 3, arbitrary: literal },
  { weight: 3, arbitrary: text },
);
const gap = fc.oneof(
  { weight: 8, arbitrary: fc.constant(" ") },
  { weight: 3, arbitrary: fc.constant("") },
  { weight: 1, arbitrary: fc.oneof(fc.constantFrom(...SPACES.slice(0, 6)), fc.constantFrom(...SPACES)) },
  { weight: 1, arbitrary: fc.constantFrom(...COMMENTS) },
);
const soup = fc.array(fc.tuple(anyToken, gap), { minLength: 1, maxLength: 10 }).map((all) => all.flat().join(""));

/** More after a good one: what is read on, and what is not looked at any more. */
const tailed = fc
  .tuple(condition, gap, fc.array(fc.tuple(anyToken, gap), { minLength: 1, maxLength: 4 }))
  .map(([whole, between, all]) => whole + between + all.flat().join(""));

const anyOperand = fc.oneof(
  { weight: 5, arbitrary: name },
  { weight: 4, arbitrary: literal },
  { weight: 3, arbitrary: text },
  {
    weight: 2,
    arbitrary: joined(fc.constantFrom("-", "- -", "+-", "NOT ", "not not ", "-("), name).map((signed) =>
      signed.includes("(") ? `${signed})` : signed,
    ),
  },
  { weight: 2, arbitrary: joined(fc.constantFrom("-", "- -", "-+", "- - -"), literal) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("TRUE", "False", "NULL", "(NULL)", "(TRUE)", "(a = b)", "(-5)", "('a')", "((5))"),
  },
  { weight: 1, arbitrary: condition.map((inner) => `(${inner})`) },
);
const negation = fc.constantFrom("", "", "", " NOT", " Not", " NOT NOT");
const anyList = fc
  .tuple(fc.array(fc.oneof({ weight: 9, arbitrary: text }, anyOperand), { maxLength: 6 }), fc.constantFrom(",", " , "))
  .map(([items, comma]) => `(${items.join(comma)})`);

/** Every kind of operand in every place, those that are refused there, too; chained without parentheses. */
const link = fc.oneof(
  joined(fc.constantFrom(" = ", " <> ", "<", "<=", ">", ">=", "=-", "<>-"), anyOperand),
  joined(negation, fc.constant(" BETWEEN "), anyOperand, fc.constant(" AND "), anyOperand),
  joined(negation, fc.constant(" IN "), anyList),
  joined(negation, fc.constantFrom(" CONTAINS ", " STARTSWITH ", " ENDSWITH "), fc.oneof(text, text, anyOperand)),
  fc.constantFrom(" IS NULL", " is not null", " IS NOT TRUE", " IS", " is not not null", " Is /* */ Not\tnull"),
);
const negated = fc.constantFrom("", "", "", "NOT ", "NOT NOT ", "NOT(", "NOT (NOT (", "- ", "+");
const chained = fc
  .tuple(negated, anyOperand, fc.array(link, { minLength: 1, maxLength: 3 }))
  .map(([sign, head, links]) => sign + head + links.join("") + ")".repeat(sign.split("(").length - 1));
const chains = fc
  .tuple(chained, fc.array(fc.tuple(fc.constantFrom(" AND ", " OR ", " and not ", " Or("), chained), { maxLength: 3 }))
  .map(([head, tail]) =>
    tail.reduce((all, [sign, part]) => `${all}${sign}${part}${sign.includes("(") ? ")" : ""}`, head),
  );

/** One piece taken out, put in or put in the place of another. */
const broken = fc
  .tuple(condition, fc.nat(), fc.nat(4), fc.constantFrom(...MISTAKES, ...NAMES, ...LITERALS))
  .map(([whole, place, length, piece]) => {
    const at = place % (whole.length + 1);
    return whole.slice(0, at) + piece + whole.slice(at + length);
  });

const expression = fc.oneof(
  { weight: 12, arbitrary: condition },
  { weight: 2, arbitrary: broken },
  { weight: 6, arbitrary: chains },
  { weight: 2, arbitrary: soup },
  { weight: 2, arbitrary: tailed },
);
const named = (names: readonly string[], minLength: number, maxLength: number) =>
  fc
    .uniqueArray(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...VALUES)), {
      minLength,
      maxLength,
      selector: ([key]) => key,
    })
    .map((pairs) => pairs.map(([key, value]): [string, string] => [key, value]));
const properties = fc.tuple(named(NAMES, 2, 8), named(ODD_NAMES, 0, 4)).map((all) => all.flat());

export function randomFilterCases(seed: number, count: number): FilterCase[] {
  const one = fc.record({ expression, properties: fc.array(properties, { minLength: 4, maxLength: 4 }) });
  return fc.sample(one, { seed, numRuns: count });
}
