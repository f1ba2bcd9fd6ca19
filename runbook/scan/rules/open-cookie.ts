export function answer(session: string, isSecure: boolean): Response[] {
  const headers = new Headers();
  // ruleid: open-cookie
  headers.append("Set-Cookie", `session=${session}; Path=/`);
  // ok: open-cookie
  headers.append("Set-Cookie", `session=${session}; Path=/; HttpOnly; Secure; SameSite=Lax`);
  return [
    // ruleid: open-cookie
    new Response("", { headers: { "set-cookie": `session=${session}` } }),
    // ok: open-cookie
    new Response("", { headers: { "set-cookie": `session=${session}; HttpOnly; Secure; SameSite=Lax` } }),
  ];
}

// ruleid: open-cookie
export const open = { httpOnly: false, sameSite: "lax" };
// ok: open-cookie
export const closed = { httpOnly: true, sameSite: "lax" };
