// The API's documentation, made from the API: the table of routes, tRPC's procedures with their schemas,
// and access.ts.
//
//   bun run docs:api            writes it
//   bun run docs:api --check    exits 1 when it is stale, and says what to run
import { readFileSync, writeFileSync } from "node:fs";
import type { Need } from "./access.ts";
import { REFUSALS } from "./answers.ts";
import { FAILED_SIGN_INS_MAX, WINDOW_MS } from "./attempts.ts";
import { plainRoutes, procedures, type Schema } from "./description.ts";
import { HEALTH_WITHIN_MS } from "./health.ts";
import { TRPC_PATH } from "./routes.ts";
import { BODY_BYTES_MAX } from "./server.ts";

const NEEDS: Record<Need, { zh: string; en: string }> = {
  public: { zh: "所有人", en: "anybody" },
  member: { zh: "登录的人，或带 API 密钥的程序", en: "whoever has signed in, or a program with an API key" },
  session: { zh: "登录的人", en: "a person who has signed in" },
  admin: { zh: "角色为 `admin` 的人", en: "such a person with the role `admin`" },
  key: { zh: "带 API 密钥的程序", en: "a program with an API key" },
};

export function documentation(): string {
  return [
    "<!-- Made by `bun run docs:api` in examples/neostock; do not edit. 由程序生成，请勿手改。 -->",
    "# NeoStock: the API / 接口",
    "",
    ...credentials(),
    ...routes(),
    ...calls(),
    ...refusals(),
    ...limits(),
    "",
  ].join("\n");
}

function credentials(): string[] {
  return [
    "## Credentials / 凭据",
    "",
    "A person signs in and has the cookie `better-auth.session_token`; a program sends the header",
    "`x-api-key: nsk_…`. A key that is unknown or revoked is refused wherever it is sent. A POST of a page",
    "on another site is refused. 人用登录后的 Cookie，程序用请求头 `x-api-key`；无效的密钥在任何地址都会被拒绝，",
    "来自其他网站页面的 POST 也会被拒绝。",
    "",
    ...table(
      ["need / 需要", "who / 谁"],
      Object.entries(NEEDS).map(([need, { zh, en }]) => [code(need), `${zh} / ${en}`]),
    ),
    "",
  ];
}

function routes(): string[] {
  const all = plainRoutes();
  return [
    "## Addresses / 地址",
    "",
    ...table(
      ["address / 地址", "what / 作用", "who / 谁", "body / 正文"],
      all.map(({ method, path, summary, who, input }) => [
        code(`${method} ${path}`),
        `${summary.zh} / ${summary.en}`,
        `${who.zh} / ${who.en}`,
        input ? code(typeOf(input)) : "",
      ]),
    ),
    "",
  ];
}

function calls(): string[] {
  return [
    "## Procedures / tRPC 过程",
    "",
    `\`GET ${TRPC_PATH}/NAME?input=JSON\` for a query, \`POST ${TRPC_PATH}/NAME\` with JSON as its body for a mutation, one`,
    'a request; the answer is `{"result":{"data":…}}` or `{"error":{"message":…,"data":{"code":…}}}`. 每个请求一个过程。',
    "",
    ...table(
      ["name / 名称", "kind / 类型", "need / 需要", "input / 输入", "output / 输出"],
      Object.entries(procedures()).map(([name, { type, need, input, output }]) => [
        code(name),
        type,
        code(need),
        input ? code(typeOf(input)) : "",
        output ? code(typeOf(output)) : "",
      ]),
    ),
    "",
  ];
}

function refusals(): string[] {
  return [
    "## Refusals / 拒绝",
    "",
    'Outside of tRPC: `{"error":"…","message":"中文 / English"}`. No answer tells what went wrong inside.',
    "tRPC 之外的拒绝格式如上；任何回答都不含内部细节。",
    "",
    ...table(
      ["error", "status / 状态码", "meaning / 含义"],
      Object.entries(REFUSALS).map(([name, [status, zh, en]]) => [code(name), String(status), `${zh} / ${en}`]),
    ),
    "",
  ];
}

function limits(): string[] {
  return [
    "## Limits / 限制",
    "",
    `- A body: ${BODY_BYTES_MAX} bytes; a larger one is answered 413. 正文大小，超过则 413。`,
    `- Failed sign-ins of one address and e-mail: ${FAILED_SIGN_INS_MAX} in ${WINDOW_MS / 60_000} minutes. 同一地址和邮箱的登录失败次数。`,
    `- \`/health\` waits ${HEALTH_WITHIN_MS / 1_000} s for the database. 健康检查等待数据库的时间。`,
  ];
}

function table(head: string[], rows: string[][]): string[] {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}

function code(text: string): string {
  return `\`${text}\``;
}

// A JSON schema as people write types. Only what the schemas of this API use; anything else is an error
// here rather than a wrong word there.
export function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (Array.isArray(schema.enum)) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  switch (schema.type) {
    case "object":
      return objectType(schema);
    case "array":
      return arrayType(schema.items as Schema);
    case "string":
      return stringType(schema);
    case "integer":
      return `integer${range(schema.minimum, schema.maximum)}`;
    case "number":
    case "boolean":
      return schema.type;
    default:
      throw new Error(`no words for this schema: ${JSON.stringify(schema)}`);
  }
}

function arrayType(items: Schema): string {
  const type = typeOf(items);
  return Array.isArray(items.enum) ? `(${type})[]` : `${type}[]`;
}

function objectType(schema: Schema): string {
  const required = (schema.required ?? []) as string[];
  const fields = Object.entries((schema.properties ?? {}) as Record<string, Schema>).map(
    ([name, field]) => `${name}${required.includes(name) ? "" : "?"}: ${typeOf(field)}`,
  );
  return `{ ${fields.join(", ")} }`;
}

function stringType(schema: Schema): string {
  if (schema.format) return `string (${schema.format})`;
  if (schema.maxLength === undefined && schema.pattern) return `string /${schema.pattern}/`;
  return `string${range(schema.minLength, schema.maxLength)}`;
}

// JavaScript's largest exact whole number stands for no limit.
function range(min: unknown, max: unknown): string {
  const [least, most] = [min, max].map((bound) => (Math.abs(Number(bound)) >= Number.MAX_SAFE_INTEGER ? undefined : bound));
  if (least === undefined && most === undefined) return "";
  return ` (${least ?? ""}…${most ?? ""})`;
}

function main(words: string[]): number {
  const isCheck = words.includes("--check");
  const file = words.map((word) => /^--file=(.+)$/.exec(word)?.[1]).find(Boolean);
  if (!file || words.length !== (isCheck ? 2 : 1)) {
    console.error("用法 / usage: bun apps/server/src/docs.ts --file=FILE [--check]");
    return 2;
  }
  const text = documentation();
  if (!isCheck) {
    writeFileSync(file, text);
    console.log(`已写入 / written: ${file}`);
    return 0;
  }
  let found = "";
  try {
    found = readFileSync(file, "utf8");
  } catch {
    // A file that is not there is stale.
  }
  if (found === text) return 0;
  console.error(`${file} 已过期，请运行 bun run docs:api / is stale, run: bun run docs:api`);
  return 1;
}

if (import.meta.main) process.exit(main(process.argv.slice(2)));
