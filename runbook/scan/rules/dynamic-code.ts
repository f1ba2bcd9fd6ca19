import vm from "node:vm";

const formulas = { double: (value: number) => value * 2 };

export function price(formula: string): unknown {
  // ruleid: dynamic-code
  return eval(formula);
}

// ruleid: dynamic-code
export const rule = new Function("quote", "return quote.price > 5");
// ruleid: dynamic-code
setTimeout("refresh()", 1_000);
// ruleid: dynamic-code
vm.runInNewContext("1 + 1");

export function known(name: "double", value: number): number {
  // ok: dynamic-code
  return formulas[name](value);
}

// ok: dynamic-code
setTimeout(() => known("double", 1), 1_000);
