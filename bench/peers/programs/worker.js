// The job, as a Workers-style module. Aloft, workerd and workerd's loader all run these very bytes.
// oxlint-disable-next-line import/no-default-export -- that is how a worker looks
export default {
  async fetch(request) {
    if (request.method === "POST") {
      const { id } = await request.json();
      return Response.json({ id });
    }
    return new Response("hello");
  },
};
