export function answers(request: Request): unknown[] {
  return [
    new Response("", {
      // ruleid: open-cors
      headers: { "access-control-allow-origin": "*", "access-control-allow-credentials": "true" },
    }),
    // ruleid: open-cors
    new Response("", { headers: { "access-control-allow-origin": request.headers.get("origin") ?? "" } }),
    // ruleid: open-cors
    cors({ origin: true, credentials: true }),
    // ok: open-cors
    new Request("http://127.0.0.1", { headers: { origin: request.headers.get("origin") ?? "" } }),
    // ok: open-cors
    new Response("", { headers: { "access-control-allow-origin": "https://neostock.example" } }),
  ];
}
