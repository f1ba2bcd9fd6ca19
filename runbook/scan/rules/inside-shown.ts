export function answer(error: Error): Response[] {
  return [
    // ruleid: inside-shown
    new Response(error.stack, { status: 500 }),
    // ruleid: inside-shown
    Response.json({ error: { stack: error.stack } }, { status: 500 }),
    // ok: inside-shown
    Response.json({ error: "internal" }, { status: 500 }),
  ];
}
