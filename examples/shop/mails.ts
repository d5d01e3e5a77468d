/**
 * An e-mail when an order is paid, and one when it ends otherwise. What the mail service will never take goes to `mails-dead`,
 * for somebody to look at.
 */
import { NonRetryable, queue } from "aloft";
import { ask } from "./outside.ts";

export interface Mail {
  readonly to: string;
  readonly order: string;
  readonly kind: "paid" | "refused" | "cancelled";
}

export const mails = queue<Mail>(
  "mails",
  { retry: { attempts: 50, minDelay: "200ms", maxDelay: "5m" }, maxAge: "3d" },
  async ([message], context) => {
    if (message === undefined) return;
    const answer = await ask("MAIL_URL", "/messages", message.body, context);
    if (!answer.ok) throw new NonRetryable(`the mail service refused ${message.body.to}: ${answer.status}`);
  },
);
