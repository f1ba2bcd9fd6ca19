export function signIn(email: string, password: string, request: Request): void {
  // ruleid: secret-in-log
  console.log("sign in", email, password);
  // ruleid: secret-in-log
  console.error(`wrong password: ${password}`);
  // ruleid: secret-in-log
  console.log(process.env);
  // ruleid: secret-in-log
  console.log(request.headers.get("cookie"));
  // ok: secret-in-log
  console.log("sign in", email);
  // ok: secret-in-log
  console.log(`password has ${password.length} characters`);
}
