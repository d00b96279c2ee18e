//! Derives `Record` for a plugin's own struct: its schema, its way to columns, and (where it borrows nothing) its way
//! back. Deliberately thin: what a field's type means is said by the SDK's `Value`, not here.

mod attributes;

use attributes::Named;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, Index, parse_macro_input};

/// Makes a struct with named fields a `Record`.
///
/// `#[record(name = "…")]` gives a field's column another name; `#[record(key)]` marks the fields that identify a
/// record.
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = fields(input)?;
    let written = to_columns(input, &fields);
    let read = if input.generics.params.is_empty() {
        from_batch(input, &fields)
    } else {
        TokenStream::new()
    };
    Ok(quote! { #written #read })
}

fn fields(input: &DeriveInput) -> syn::Result<Vec<Named>> {
    let wrong = |what| Err(syn::Error::new_spanned(&input.ident, what));
    let Data::Struct(data) = &input.data else {
        return wrong("`Record` is derived for structs");
    };
    let Fields::Named(fields) = &data.fields else {
        return wrong("`Record` needs fields with names");
    };
    if input.generics.type_params().next().is_some() {
        return wrong("`Record` is not derived for structs with type parameters");
    }
    let fields = fields
        .named
        .iter()
        .map(Named::new)
        .collect::<syn::Result<Vec<_>>>()?;
    attributes::unique(&fields)?;
    Ok(fields)
}

fn to_columns(input: &DeriveInput, fields: &[Named]) -> TokenStream {
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.kind).collect();
    let columns: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let keys = fields
        .iter()
        .filter(|field| field.key)
        .map(|field| &field.name);
    quote! {
        #[automatically_derived]
        impl #generics ::sluice_sdk::Record for #name #arguments #bounds {
            fn schema() -> ::sluice_sdk::Schema {
                let fields = ::std::vec![#(::sluice_sdk::record::field::<#types>(#columns)),*];
                let key: ::std::vec::Vec<::std::string::String> = ::std::vec![#(::std::string::String::from(#keys)),*];
                ::sluice_sdk::Schema { fields, key }
            }

            fn into_columns(records: ::std::vec::Vec<Self>) -> ::std::vec::Vec<::sluice_sdk::NamedColumn> {
                #(let mut #idents = ::std::vec::Vec::with_capacity(records.len());)*
                for record in records {
                    #(#idents.push(record.#idents);)*
                }
                ::std::vec![#(::sluice_sdk::record::column::<#types>(#columns, #idents.into_iter())),*]
            }
        }
    }
}

fn from_batch(input: &DeriveInput, fields: &[Named]) -> TokenStream {
    let name = &input.ident;
    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.kind).collect();
    let columns: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let places = (0..fields.len()).map(Index::from);
    let count = fields.len();
    quote! {
        #[automatically_derived]
        impl ::sluice_sdk::record::FromBatch for #name {
            type Columns = [::sluice_sdk::Column; #count];

            fn bind(batch: &::sluice_sdk::Batch<'_>) -> ::std::result::Result<Self::Columns, ::sluice_sdk::Fault> {
                let schema = batch.schema();
                ::std::result::Result::Ok([#(::sluice_sdk::record::bind::<#types>(batch, &schema, #columns)?),*])
            }

            fn row(
                columns: &Self::Columns,
                row: usize,
            ) -> ::std::result::Result<Self, ::sluice_sdk::Rejection> {
                ::std::result::Result::Ok(Self {
                    #(#idents: ::sluice_sdk::record::get::<#types>(&columns[#places], row, #columns)?),*
                })
            }
        }
    }
}
