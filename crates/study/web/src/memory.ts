// What the browser keeps for a reader over reloads. Where it may keep nothing (private windows), it lasts as long as the page.

const forNow = new Map<string, string>()

export class Memory {
  private readonly prefix: string

  constructor(reader: string) {
    this.prefix = `difftumor/${reader}/`
  }

  get(key: string): string | null {
    try {
      return localStorage.getItem(this.prefix + key)
    } catch {
      return forNow.get(this.prefix + key) ?? null
    }
  }

  set(key: string, value: string): void {
    try {
      localStorage.setItem(this.prefix + key, value)
    } catch {
      forNow.set(this.prefix + key, value)
    }
  }

  remove(key: string): void {
    try {
      localStorage.removeItem(this.prefix + key)
    } catch {
      // Then it is only in `forNow`.
    }
    forNow.delete(this.prefix + key)
  }

  /** Keys that begin so, without the reader's prefix. */
  keys(beginning: string): string[] {
    let names = [...forNow.keys()]
    try {
      names = names.concat(Object.keys(localStorage))
    } catch {
      // As above.
    }
    const whole = this.prefix + beginning
    return names.filter((name) => name.startsWith(whole)).map((name) => name.slice(this.prefix.length))
  }
}
