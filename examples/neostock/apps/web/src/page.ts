// The page as the server of it writes it: quotes for everybody. What belongs to a person, public/app.js
// adds in the browser.
import { version } from "../package.json";

export type Quote = { symbol: string; name: string; price: number };

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);
}

function row(quote: Quote): string {
  const symbol = escaped(quote.symbol);
  return `<tr data-symbol="${symbol}"><td><span class="symbol">${symbol}</span><span class="name">${escaped(quote.name)}</span></td><td class="price">${quote.price.toFixed(2)}</td><td class="deeds"><button type="button" class="watch" data-symbol="${symbol}" hidden>自选 / Watch</button></td></tr>`;
}

// `quotes` is null when the server did not answer: the page still comes, and says so.
export function page(quotes: Quote[] | null): string {
  const rows = (quotes ?? []).map(row).join("\n");
  return `<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="version" content="${escaped(version)}">
<title>NeoStock</title>
<link rel="icon" href="/icon.svg">
<link rel="stylesheet" href="/app.css">
<script src="/app.js" defer></script>
</head>
<body>
<header>
<h1>NeoStock</h1>
<p id="person" hidden><span id="email"></span> <button type="button" id="sign-out">退出 / Sign out</button></p>
</header>
<main>
<p id="notice" role="status"${quotes ? " hidden" : ""}>${quotes ? "" : "暂时读不到行情，请稍后再试 / Quotes cannot be read just now, try again later"}</p>
<section aria-labelledby="quotes-title">
<h2 id="quotes-title">行情 / Quotes</h2>
<button type="button" id="refresh" hidden>更新 / Refresh</button>
<table>
<thead><tr><th scope="col">代码 / Symbol</th><th scope="col" class="price">价格 / Price</th><th scope="col"></th></tr></thead>
<tbody id="quotes">
${rows}
</tbody>
</table>
</section>
<section id="watchlist" aria-labelledby="watchlist-title" hidden>
<h2 id="watchlist-title">自选 / Watchlist</h2>
<p id="watchlist-empty" hidden>还没有自选 / Nothing is watched yet</p>
<ul id="items"></ul>
</section>
<section id="account" aria-labelledby="account-title" hidden>
<h2 id="account-title">登录或注册 / Sign in or up</h2>
<form id="sign-in">
<label>邮箱 / E-mail <input name="email" type="email" autocomplete="username" required maxlength="254"></label>
<label>密码 / Password <input name="password" type="password" autocomplete="current-password" required minlength="10" maxlength="128"></label>
<p class="deeds"><button type="submit" value="sign-in">登录 / Sign in</button> <button type="submit" value="sign-up">注册 / Sign up</button></p>
</form>
</section>
</main>
<footer><small>NeoStock ${escaped(version)}</small></footer>
</body>
</html>
`;
}
