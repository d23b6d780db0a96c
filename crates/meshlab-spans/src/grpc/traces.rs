//! `TraceService/Export`. The service that is generated decodes a request before it shows it, and
//! what is empty grows a hundredfold then; this one is handed the bytes.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{BoxFuture, Service},
    server::{Grpc, NamedService, UnaryService},
};

use super::Door;
use crate::{
    http::{BODY_BYTES_MAX, Refusal, take_spans},
    scan,
};

/// Why a node that sends too much is refused.
pub(super) const FLOOD: &str = "more spans than a node may send; send fewer";

#[derive(Clone)]
pub(super) struct Traces {
    door: Door,
}

impl Traces {
    pub(super) fn new(door: Door) -> Self {
        Self { door }
    }
}

impl NamedService for Traces {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl Service<http::Request<Body>> for Traces {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let export = self.clone();
        Box::pin(async move {
            if request.uri().path().rsplit('/').next() != Some("Export") {
                return Ok(Status::unimplemented("only Export is here").into_http());
            }
            let mut grpc = Grpc::new(AsBytes)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(BODY_BYTES_MAX);
            Ok(grpc.unary(export, request).await)
        })
    }
}

impl UnaryService<Bytes> for Traces {
    type Response = ();
    type Future = Ready<Result<Response<()>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let taken = take_spans(request.get_ref(), &self.door.node, &self.door.store);
        ready(taken.map(Response::new).map_err(|refusal| match refusal {
            Refusal::Flood => Status::resource_exhausted(FLOOD),
            Refusal::TooLarge => {
                Status::out_of_range(format!("at most {} parts a request", scan::PARTS_MAX))
            }
            Refusal::Malformed(why) => Status::invalid_argument(why),
            Refusal::Unsupported => Status::unimplemented("only spans are here"),
        }))
    }
}

/// Requests as they are; the answer says nothing.
struct AsBytes;

impl Codec for AsBytes {
    type Encode = ();
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsBytes {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
