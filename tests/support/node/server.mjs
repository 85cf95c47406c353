// Answers questions about workflows with GitHub's own packages: one JSON object a line in, one a line out.
//
//   {"op": "parse", "kind": "workflow" | "action", "name", "content"}  -> {"errors": [{message, line, column}], "document"}
//   {"op": "evaluate", "expression", "allowed", "contexts", "status"}  -> {"value", "text", "truthy"}
//   {"op": "template", "text", "place"}                                -> {"template"}
//
// In a document an expression is {"${{": its text, "allowed": contexts and functions of that place}. A text with several
// expressions has become one format(...) by then, and an `if` has its success() && (...).
import { register } from "node:module";
import { createInterface } from "node:readline";

register("./json_modules.mjs", import.meta.url);
const parser = await import("@actions/workflow-parser");
const { parseAction, convertActionTemplate } = {
  ...(await import("@actions/workflow-parser/actions/action-parser")),
  ...(await import("@actions/workflow-parser/actions/action-template")),
};
const { ensureStatusFunction } = await import("@actions/workflow-parser/model/converter/if-condition");
const { splitAllowedContext } = await import("@actions/workflow-parser/templates/allowed-context");
const { default: YAML } = await import("yaml");
const { data, Evaluator, Lexer, Parser } = await import("@actions/expressions");
const { truthy } = await import("@actions/expressions/result");
const { reviver } = await import("@actions/expressions/data/reviver");
const { replacer } = await import("@actions/expressions/data/replacer");

const CONDITIONS = new Set(["job-if", "step-if"]);

function plain(token) {
  if (token.isExpression) {
    if (token.directive !== undefined) throw new Error(`line ${token.line}: the directive ${token.directive} is not known here`);
    return expression(token, CONDITIONS.has(token.definition?.key) ? conditioned(token.expression, token) : token.expression);
  }
  if (CONDITIONS.has(token.definition?.key)) return expression(token, conditioned(String(token.value).trim(), token));
  if (parser.isMapping(token)) {
    const made = {};
    for (const { key, value } of token) {
      if (key.isExpression) throw new Error(`line ${key.line}: an expression in the place of a key is not known here`);
      made[key.value] = plain(value);
    }
    return made;
  }
  if (parser.isSequence(token)) return [...token].map(plain);
  return token.value ?? null;
}

function conditioned(text, token) {
  return text ? ensureStatusFunction(text, token.definitionInfo) : "success()";
}

function expression(token, text) {
  return { "${{": text, allowed: token.definitionInfo?.allowedContext ?? [] };
}

async function parse({ kind, name, content }) {
  const trace = new parser.NoOperationTraceWriter();
  const parsed = kind === "action" ? parseAction({ name, content }, trace) : parser.parseWorkflow({ name, content }, trace);
  if (parsed.value && parsed.context.errors.getErrors().length === 0) {
    // What the schema alone does not say: needs that lead nowhere or in a circle, ids that are there twice.
    if (kind === "action") convertActionTemplate(parsed.context, parsed.value);
    else await parser.convertWorkflowTemplate(parsed.context, parsed.value);
  }
  const errors = parsed.context.errors.getErrors().map((error) => ({
    message: error.rawMessage,
    line: error.range?.start.line ?? 0,
    column: error.range?.start.column ?? 0,
  }));
  return { errors, document: errors.length === 0 ? plain(oneLined(kind, name, content)) : null };
}

// The parser is made for editors: of a text over several lines it takes the source, with its indentation, to find columns.
// As JSON all texts stand on one line, and are taken as they are.
function oneLined(kind, name, content) {
  const read = kind === "action" ? parseAction : parser.parseWorkflow;
  return read({ name, content: JSON.stringify(YAML.parse(content)) }, new parser.NoOperationTraceWriter()).value;
}

// A text as it would be read in a step: `run` has the contexts of most places.
function template({ text, place }) {
  const steps = [{ run: text, ...(place === "if" ? { run: "", if: text } : {}) }];
  const content = JSON.stringify({ on: "push", jobs: { a: { "runs-on": "x", steps } } });
  const parsed = parser.parseWorkflow({ name: "template", content }, new parser.NoOperationTraceWriter());
  const [error] = parsed.context.errors.getErrors();
  if (error) throw new Error(error.rawMessage);
  const step = plain(parsed.value).jobs.a.steps[0];
  return { template: place === "if" ? step.if : step.run };
}

function status(known) {
  return new Map(
    Object.entries(known).map(([name, value]) => [
      name,
      {
        name,
        minArgs: 0,
        maxArgs: 255,
        call: (...args) => {
          if (args.length > 0) throw new Error(`${name}() with arguments is not known here`);
          return new data.BooleanData(value);
        },
      },
    ]),
  );
}

// In a text '' is ', as often as it is there; the lexer (0.3.61) reads only the first of them so.
function lexed(text) {
  const { tokens } = new Lexer(text).lex();
  for (const token of tokens) {
    if (token.lexeme.startsWith("'")) token.value = token.lexeme.slice(1, -1).replaceAll("''", "'");
  }
  return tokens;
}

function evaluate({ expression: text, allowed, contexts, status: known }) {
  const { namedContexts, functions } = splitAllowedContext(allowed);
  const tree = new Parser(lexed(text), namedContexts, functions).parse();
  const revived = JSON.parse(JSON.stringify(contexts), reviver);
  const given = {
    get(name) {
      const found = revived.get(name);
      if (found === undefined) throw new Error(`the context ${name} is not given here`);
      return found;
    },
  };
  const unknown = functions.filter((fn) => !(fn.name.toLowerCase() in known));
  const answered = status(known);
  for (const fn of unknown) {
    answered.set(fn.name.toLowerCase(), {
      ...fn,
      call: () => {
        throw new Error(`the function ${fn.name} is not known here`);
      },
    });
  }
  const result = new Evaluator(tree, given, answered).evaluate();
  return { value: JSON.parse(JSON.stringify(result, replacer)), text: result.coerceString(), truthy: truthy(result) };
}

const OPERATIONS = { parse, template, evaluate };

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  let answer;
  try {
    const asked = JSON.parse(line);
    answer = await OPERATIONS[asked.op](asked);
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
