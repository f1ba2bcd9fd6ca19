// What an older client relies on, and what of it a newer API breaks. Pure: schemas in, faults out.
import type { Procedure, Schema } from "../../description.ts";

export type Contract = {
  procedures: Record<string, Procedure>;
  routes: Record<string, { input: Schema | null }>;
};

// Every promise of `old` that `now` does not keep. More than was promised is no fault.
export function broken(old: Contract, now: Contract): string[] {
  const faults: string[] = [];
  for (const [name, before] of Object.entries(old.procedures)) {
    const after = now.procedures[name];
    if (!after) {
      faults.push(`${name} is gone`);
      continue;
    }
    if (after.type !== before.type) faults.push(`${name} was a ${before.type} and is a ${after.type}`);
    if (after.need !== before.need && after.need !== "public") {
      faults.push(`${name} needed ${before.need} and needs ${after.need}`);
    }
    faults.push(...brokenInput(name, before.input, after.input), ...brokenOutput(name, before.output, after.output));
  }
  for (const [name, before] of Object.entries(old.routes)) {
    const after = now.routes[name];
    if (after) faults.push(...brokenInput(name, before.input, after.input));
    else faults.push(`${name} is gone`);
  }
  return faults;
}

// What was taken is taken still, and nothing more is demanded.
function brokenInput(name: string, old: Schema | null, now: Schema | null): string[] {
  const [before, after] = [fields(old), fields(now)];
  const faults = required(now)
    .filter((field) => !required(old).includes(field))
    .map((field) => `${name} demands ${field}`);
  for (const [field, schema] of Object.entries(before)) {
    if (!after[field]) faults.push(`${name} does not take ${field} any more`);
    else if (!same(schema, after[field])) faults.push(`${name} takes another ${field}`);
  }
  return faults;
}

// What was answered is answered still, and what was always there is always there.
function brokenOutput(name: string, old: Schema | null, now: Schema | null): string[] {
  if (!old) return [];
  if (!now || now.type !== old.type) return [`${name} answers another type`];
  if (old.type === "array") return brokenOutput(`${name}[]`, old.items as Schema, now.items as Schema);
  if (old.type !== "object") return same(old, now) ? [] : [`${name} is another ${old.type}`];
  const after = fields(now);
  return Object.entries(fields(old)).flatMap(([field, schema]) => {
    if (!after[field]) return [`${name} does not answer ${field} any more`];
    const always = required(old).includes(field) && !required(now).includes(field);
    return [
      ...(always ? [`${name} does not always answer ${field} any more`] : []),
      ...brokenOutput(`${name}.${field}`, schema, after[field]),
    ];
  });
}

function fields(schema: Schema | null): Record<string, Schema> {
  return (schema?.properties ?? {}) as Record<string, Schema>;
}

function required(schema: Schema | null): string[] {
  return (schema?.required ?? []) as string[];
}

function same(one: Schema, other: Schema): boolean {
  return Bun.deepEquals(one, other);
}
