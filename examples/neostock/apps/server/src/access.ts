// Who may call which procedure. The router asks here and has no rules of its own; what is not in the
// table is refused. The documentation and the scan of credentials read the same table.

export type Need =
  | "public" // anybody
  | "member" // whoever has signed in, or a program with an API key
  | "session" // a person who has signed in
  | "admin" // such a person with the role `admin`
  | "key"; // a program with an API key

export const ACCESS: Record<string, Need> = {
  "admin.users": "admin",
  "keys.whoami": "key",
  "quotes.get": "public",
  "quotes.list": "public",
  "quotes.refresh": "member",
  "watchlist.add": "session",
  "watchlist.list": "session",
  "watchlist.remove": "session",
};

export type User = { id: string; email: string; name: string; role: string };
export type Key = { id: string; name: string };
// What a request has proved about who sends it.
export type Caller = { user: User | null; key: Key | null };

export const NOBODY: Caller = { user: null, key: null };

export type Decision = "allowed" | "who_are_you" | "not_for_you";

export function decide(procedure: string, caller: Caller): Decision {
  const need = Object.hasOwn(ACCESS, procedure) ? ACCESS[procedure]! : null;
  if (need === "public") return "allowed";
  if (!caller.user && !caller.key) return "who_are_you";
  switch (need) {
    case "member":
      return "allowed";
    case "session":
      return caller.user ? "allowed" : "not_for_you";
    case "admin":
      return caller.user?.role === "admin" ? "allowed" : "not_for_you";
    case "key":
      return caller.key ? "allowed" : "not_for_you";
    case null:
      return "not_for_you";
  }
}

// How the API log names them.
export function actorOf(caller: Caller): string {
  if (caller.key) return `key:${caller.key.id}`;
  if (caller.user) return `user:${caller.user.id}`;
  return "anonymous";
}
