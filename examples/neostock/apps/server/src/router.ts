// The tRPC procedures. Each says what it takes and answers; who may call it stands in access.ts.
import { initTRPC, TRPCError } from "@trpc/server";
import { z } from "zod";
import { type Caller, decide } from "./access.ts";
import { words } from "./answers.ts";
import type { Database } from "./database.ts";
import type { Metrics } from "./metrics.ts";
import { fetchQuotes, listQuotes, Page, Quote, quote, storeQuotes, SYMBOL } from "./quotes.ts";
import { report } from "./report.ts";
import { type Added, addItem, Item, listItems, Note, removeItem } from "./watchlist.ts";

const USERS_MAX = 100;

export type Context = {
  caller: Caller;
  database: Database;
  metrics: Metrics;
  quotesUrl: URL | null;
};

const trpc = initTRPC.context<Context>().create({
  // Never a stack in an answer, whatever NODE_ENV says.
  isDev: false,
  errorFormatter: ({ shape, error }) => {
    if (error.code === "INTERNAL_SERVER_ERROR") return { ...shape, message: words("failed") };
    if (!(error.cause instanceof z.ZodError)) return shape;
    const issues = error.cause.issues.map((issue) => `${issue.path.join(".") || "input"}: ${issue.message}`);
    return { ...shape, message: `输入无效 / invalid input: ${issues.join("; ")}` };
  },
});

const procedure = trpc.procedure.use(({ ctx, path, next }) => {
  switch (decide(path, ctx.caller)) {
    case "allowed":
      return next();
    case "who_are_you":
      throw new TRPCError({ code: "UNAUTHORIZED", message: words("who_are_you") });
    case "not_for_you":
      throw new TRPCError({ code: "FORBIDDEN", message: words("not_for_you") });
  }
});

// Procedures for people and for programs have them by then: `decide` let nobody else pass.
function userId(ctx: Context): string {
  if (!ctx.caller.user) throw new TRPCError({ code: "UNAUTHORIZED", message: words("who_are_you") });
  return ctx.caller.user.id;
}

const BySymbol = z.strictObject({ symbol: SYMBOL });
const unknownSymbol = () => new TRPCError({ code: "NOT_FOUND", message: "没有这个代码 / no such symbol" });

const quotes = trpc.router({
  list: procedure
    .input(Page)
    .output(z.array(Quote))
    .query(({ ctx, input }) => listQuotes(ctx.database, input)),

  get: procedure
    .input(BySymbol)
    .output(Quote)
    .query(async ({ ctx, input }) => {
      const found = await quote(ctx.database, input.symbol);
      if (!found) throw unknownSymbol();
      return found;
    }),

  refresh: procedure.output(z.object({ stored: z.int() })).mutation(async ({ ctx }) => {
    if (!ctx.quotesUrl) {
      throw new TRPCError({ code: "PRECONDITION_FAILED", message: "没有设置 QUOTES_URL / QUOTES_URL is not set" });
    }
    let fetched: Awaited<ReturnType<typeof fetchQuotes>>;
    try {
      fetched = await fetchQuotes(ctx.quotesUrl);
    } catch (error) {
      ctx.metrics.dataFetch("failure");
      report("quotes cannot be fetched", error);
      throw new TRPCError({ code: "BAD_GATEWAY", message: "行情源没有正常回答 / the upstream did not answer well" });
    }
    ctx.metrics.dataFetch("success");
    return { stored: await storeQuotes(ctx.database, fetched) };
  }),
});

const REFUSED_ITEMS: Record<Exclude<Added, "added" | "unknown_symbol">, string> = {
  too_many_items: "自选太多，请先移除一些 / too many items, remove some first",
  too_many_notes: "备注太多 / too many notes",
};

const watchlist = trpc.router({
  list: procedure.output(z.array(Item)).query(({ ctx }) => listItems(ctx.database, userId(ctx))),

  add: procedure
    .input(z.strictObject({ symbol: SYMBOL, note: Note.optional() }))
    .output(z.object({ added: z.literal(true) }))
    .mutation(async ({ ctx, input }) => {
      const added = await addItem(ctx.database, userId(ctx), input.symbol, input.note ?? null);
      if (added === "unknown_symbol") throw unknownSymbol();
      if (added !== "added") throw new TRPCError({ code: "CONFLICT", message: REFUSED_ITEMS[added] });
      return { added: true as const };
    }),

  remove: procedure
    .input(BySymbol)
    .output(z.object({ removed: z.boolean() }))
    .mutation(async ({ ctx, input }) => ({ removed: await removeItem(ctx.database, userId(ctx), input.symbol) })),
});

const Person = z.object({
  id: z.string(),
  email: z.string(),
  name: z.string(),
  role: z.enum(["user", "admin"]),
  createdAt: z.iso.datetime(),
});

const admin = trpc.router({
  users: procedure.output(z.array(Person)).query(async ({ ctx }) => {
    const found = await ctx.database.query<Omit<z.infer<typeof Person>, "createdAt"> & { created_at: Date }>(
      "select id, email, name, role, created_at from users order by created_at, id limit $1",
      [USERS_MAX],
    );
    return found.rows.map(({ created_at, ...person }) => ({ ...person, createdAt: created_at.toISOString() }));
  }),
});

const keys = trpc.router({
  whoami: procedure.output(z.object({ id: z.string(), name: z.string() })).query(({ ctx }) => {
    if (!ctx.caller.key) throw new TRPCError({ code: "UNAUTHORIZED", message: words("who_are_you") });
    return ctx.caller.key;
  }),
});

export const router = trpc.router({ admin, keys, quotes, watchlist });
export type Router = typeof router;
