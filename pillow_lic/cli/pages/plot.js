"use strict";
// The page of `lic plot`: a picture of curves, and the figures that it was drawn from.
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);

function fill(row, texts, tag) {
  for (const text of texts) {
    const cell = document.createElement(tag);
    cell.textContent = text;
    row.append(cell);
  }
}

find("of").textContent = data.of;
find("picture").src = data.picture;
fill(find("figures").tHead.insertRow(), data.head, "th");
let before = null;
for (const texts of data.rows) {
  const row = find("figures").tBodies[0].insertRow();
  fill(row, texts, "td");
  row.className = texts[0] === before ? "" : "first";
  before = texts[0];
}
for (const text of data.savings) {
  const item = document.createElement("li");
  item.textContent = text;
  find("savings").append(item);
}
