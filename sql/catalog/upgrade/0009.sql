-- Tags: what operators say of tenants ("regulated", "plan=enterprise"), to pick them by.

CREATE TABLE reeve.tenant_tag (
    tenant_id bigint NOT NULL CONSTRAINT tenant_tag_tenant_fkey REFERENCES reeve.tenant ON DELETE CASCADE,
    name reeve.slug NOT NULL,
    value text NOT NULL CHECK (octet_length(value) <= 200),
    PRIMARY KEY (tenant_id, name)
);
COMMENT ON TABLE reeve.tenant_tag IS 'what operators say of tenants; value '''': the name alone says it';
CREATE INDEX tenant_tag_name ON reeve.tenant_tag (name, value);
