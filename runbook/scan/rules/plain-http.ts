// ruleid: plain-http
const QUOTES_URL = "http://quotes.neostock.cn/v1";

export async function refresh(): Promise<void> {
  // ruleid: plain-http
  await fetch("http://quotes.neostock.cn/v1/refresh");
  // ruleid: plain-http
  await fetch(process.env.UPSTREAM || "http://10.0.0.7/quotes");
  // ok: plain-http
  await fetch("https://quotes.neostock.cn/v1/refresh");
  // ok: plain-http
  await fetch("http://127.0.0.1:3001/health");
}
// ok: plain-http
const SVG = "http://www.w3.org/2000/svg";
