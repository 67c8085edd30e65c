#!/usr/bin/env bash
# openssl s_client: what a listener with TLS offers, and what it refuses.
set -u

status=0

# NAME EXPECTED OUTPUT: the text is in the output.
check() {
    if [[ $3 == *"$2"* ]]; then
        printf 'ok %s\n' "$1"
    else
        printf 'not ok %s: no "%s" in "%s"\n' "$1" "$2" "${3//$'\n'/ | }"
        status=1
    fi
}

# Without input it ends when the handshake is over.
s_client() {
    timeout 60 openssl s_client -connect "$AMQP_HOST:$AMQPS_PORT" \
        -CAfile "$AMQPS_CERTIFICATES/ca_certificate.pem" -verify_return_error "$@" 2>&1
}

for version in 1.2 1.3; do
    check "speaks TLS $version" "New, TLSv$version" "$(s_client -tls"${version/./_}" </dev/null)"
done
check "does not speak TLS 1.1" "alert protocol version" \
    "$(s_client -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null)"
check "shows a certificate of the authority's" "Verify return code: 0 (ok)" \
    "$(s_client -verify_hostname localhost </dev/null)"
check "is refused where its authority is unknown" "certificate verify failed" \
    "$(s_client -CAfile "$AMQPS_CERTIFICATES/client_certificate.pem" </dev/null)"
check "takes a client's certificate" "Verify return code: 0 (ok)" \
    "$(s_client -cert "$AMQPS_CERTIFICATES/client_certificate.pem" \
        -key "$AMQPS_CERTIFICATES/client_key.pem" </dev/null)"
check "agrees on the protocol amqp" "ALPN protocol: amqp" "$(s_client -alpn h2,amqp </dev/null)"
check "refuses who speaks others alone" "alert no application protocol" \
    "$(s_client -alpn h2 </dev/null)"
check "has no weak cipher" "alert handshake failure" \
    "$(s_client -tls1_2 -cipher AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0 </dev/null)"
check "does not renegotiate" "no renegotiation" "$(printf 'R\n' | s_client -tls1_2 | tr -d '\0')"

# A header that is not the broker's is answered with the one that is, and the end.
check "answers inside of TLS" "414d515000000901" \
    "$(printf 'AMQP\0\1\0\0' | s_client -quiet 2>/dev/null | od -A n -t x1 | tr -d ' \n')"
exit $status
