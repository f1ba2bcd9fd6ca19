// What the API is, read from the code that is it: for the documentation and for the test that it stays
// compatible.
import { z } from "zod";
import { ACCESS, type Need } from "./access.ts";
import { router } from "./router.ts";
import { ROUTES } from "./routes.ts";

export type Schema = { [key: string]: unknown };

export type Procedure = {
  type: "query" | "mutation";
  need: Need;
  input: Schema | null;
  output: Schema | null;
};

// tRPC keeps its procedures by their whole names, with the parsers they were made with.
type Inner = { _def: { type: Procedure["type"]; inputs: z.ZodType[]; output?: z.ZodType } };

export function procedures(): Record<string, Procedure> {
  const inner = router._def.procedures as unknown as Record<string, Inner>;
  const names = Object.keys(inner).sort();
  return Object.fromEntries(
    names.map((name) => {
      const { type, inputs, output } = inner[name]!._def;
      const [input] = inputs;
      const procedure: Procedure = {
        type,
        need: ACCESS[name]!,
        input: input ? schemaOf(input, "input") : null,
        output: output ? schemaOf(output, "output") : null,
      };
      return [name, procedure];
    }),
  );
}

export type PlainRoute = {
  method: string;
  path: string;
  summary: { zh: string; en: string };
  who: { zh: string; en: string };
  input: Schema | null;
};

export function plainRoutes(): PlainRoute[] {
  return ROUTES.map(({ method, path, summary, who, input }) => ({
    method,
    path,
    summary,
    who,
    input: input ? schemaOf(input, "input") : null,
  }));
}

function schemaOf(type: z.ZodType, io: "input" | "output"): Schema {
  const { $schema: _, "~standard": __, ...schema } = z.toJSONSchema(type, {
    io,
    // A format says it; the pattern that zod has for it says it at length.
    override: ({ jsonSchema }) => {
      if (jsonSchema.format) delete jsonSchema.pattern;
    },
  }) as Schema;
  return schema;
}
