// The two lines above a figure. Plotly lets them run out of it: here they break, and the figure grows by what comes.

const FAMILY = "Inter, 'Segoe UI', system-ui, -apple-system, 'Helvetica Neue', Arial, sans-serif"
const pen = document.createElement("canvas").getContext("2d")
const count = (text) => text.split("<br>").length

class Heading {
  constructor({ title = {}, margin = {}, height = 450 }) {
    this.lines = [{ text: title.text ?? "", size: 16 }, { text: title.subtitle?.text ?? "", size: 12 }]
    this.top = margin.t
    this.pad = title.pad?.t ?? 0
    this.height = height
  }

  // What changes in the layout of a figure that is so wide, by plotly's names.
  fit(width) {
    const broken = this.lines.map(({ text, size }) => brokenLine(text, size, width - 24))
    const more = this.lines.reduce((sum, { text, size }, n) => sum + Math.round(1.3 * size) * (count(broken[n]) - count(text)), 0)
    const changed = { height: this.height + more }
    if (!this.lines[0].text) return changed
    // Plotly lets a title of several lines grow upwards, out of the figure.
    const pad = this.pad + 14 * (count(broken[0]) - 1)
    Object.assign(changed, { "margin.t": this.top + more, "title.text": broken[0], "title.pad.t": pad })
    if (this.lines[1].text) changed["title.subtitle.text"] = broken[1]
    return changed
  }

  // Whether its second line begins with these words.
  tells(about) {
    return this.lines[1].text.startsWith(about)
  }
}

// Behind a blank or a dash, so that a long name breaks too.
function brokenLine(text, size, room) {
  pen.font = `${size}px ${FAMILY}`
  const wide = (line) => pen.measureText(line.replace(/<[^>]*>/g, "").trimEnd()).width > room
  const broken = (line) => {
    const parts = [""]
    for (const word of line.split(/(?<=[ -])/)) {
      if (parts.at(-1) && wide(parts.at(-1) + word)) parts.push(word)
      else parts[parts.length - 1] += word
    }
    return parts.join("<br>")
  }
  return text.split("<br>").map(broken).join("<br>")
}
