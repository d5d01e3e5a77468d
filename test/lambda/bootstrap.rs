//! A custom runtime of AWS Lambda on the standard library alone: streams `{"language":"rust","event":...}` in two chunks,
//! with a head of its own, and fails in the middle when the event asks for it.
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Status line dropped; headers in lower case, and the body.
    fn answer(&mut self) -> (Vec<(String, String)>, Vec<u8>) {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let mut headers = Vec::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_lowercase(), value.to_string()));
        }
        let size = find(&headers, "content-length").parse().unwrap();
        let mut body = vec![0; size];
        self.stream.read_exact(&mut body).unwrap();
        (headers, body)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn chunk(&mut self, bytes: &[u8]) {
        self.send(format!("{:x}\r\n", bytes.len()).as_bytes());
        self.send(bytes);
        self.send(b"\r\n");
    }
}

fn find(headers: &[(String, String)], name: &str) -> String {
    headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.clone()).unwrap()
}

fn main() {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut client = Client { stream: BufReader::new(TcpStream::connect(&api).unwrap()) };
    loop {
        client.send(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: lambda\r\n\r\n");
        let (headers, event) = client.answer();
        let id = find(&headers, "lambda-runtime-aws-request-id");
        client.send(
            format!(
                "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: lambda\r\n\
                 Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\
                 Content-Type: application/vnd.awslambda.http-integration-response\r\n\
                 Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
            )
            .as_bytes(),
        );
        client.chunk(b"{\"statusCode\":201,\"headers\":{\"content-type\":\"application/json\"},\"cookies\":[\"a=1\",\"b=2\"]}");
        client.chunk(&[0; 8]);
        client.chunk(b"{\"language\":\"rust\",\"event\":");
        if String::from_utf8_lossy(&event).contains("/middle") {
            // {"errorType":"Oops","errorMessage":"in the middle"}
            let body = "eyJlcnJvclR5cGUiOiJPb3BzIiwiZXJyb3JNZXNzYWdlIjoiaW4gdGhlIG1pZGRsZSJ9";
            client.send(
                format!(
                    "0\r\nLambda-Runtime-Function-Error-Type: Function.Oops\r\n\
                     Lambda-Runtime-Function-Error-Body: {body}\r\n\r\n"
                )
                .as_bytes(),
            );
        } else {
            client.chunk(&event);
            client.chunk(b"}");
            client.send(b"0\r\n\r\n");
        }
        client.answer();
    }
}
